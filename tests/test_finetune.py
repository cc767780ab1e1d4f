"""Fine-tuning out of maps: both halves are the model, what is frozen stays, the best on validation is what is left."""

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import run_here

from train.backbones import BACKBONES, build_backbone
from train.features import Features
from train.finetune import FROZEN, SOLVED, TRAINED, halves, train_tail
from train.fit import Recipe
from train.keras import keras, layers
from train.model import build_classifier, split_at_features, to_unfreeze, unfreeze
from train.source import FeatureSource


def classifier(taps: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    base, entry = build_backbone("mobilenet-v2", "none", 64, width=0.35)
    return build_classifier(base, 3, taps=entry.taps if taps else ())


@pytest.mark.parametrize(
    ("which", "taps"),
    [
        ("block_13_expand", True),  # two depths lie in front of it, one is where it is cut
        ("block_13_depthwise", True),  # a residual goes round it
        ("block_11_project", False),  # in the middle of a block whose input is added behind it
        ("3", True),
    ],
)
def test_the_halves_together_are_the_model(which: str, taps: bool) -> None:
    model = classifier(taps)
    cut = halves(model, to_unfreeze(model, which))
    pictures = np.random.default_rng(0).normal(0, 1, (4, 64, 64, 3)).astype(np.float32)
    maps = cut.front(pictures, training=False)
    assert np.allclose(cut.tail(maps, training=False), model(pictures, training=False), atol=1e-5)
    expected = split_at_features(model)[0](pictures, training=False)
    assert np.allclose(cut.features(maps, training=False), expected, atol=1e-5)


QUICK = {"efficientnet-lite0", "mobilenet-v3-small"}
SLOW = [pytest.mark.slow, pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="slow: set FROSTLITE_SLOW=1")]


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=SLOW) for name in BACKBONES])
@pytest.mark.parametrize("opened", ["3", "15"])
def test_the_halves_of_every_backbone(name: str, opened: str) -> None:
    """Some have steps that are no layers, as the x + 3 of a hard swish, or that take one tensor twice."""
    keras.utils.set_random_seed(0)
    base, entry = build_backbone(name, "none", 75)
    model = build_classifier(base, 3, taps=entry.taps)
    cut = halves(model, to_unfreeze(model, opened))
    pictures = np.random.default_rng(0).normal(0, 1, (2, 75, 75, 3)).astype(np.float32)
    maps = cut.front(pictures, training=False)
    assert np.allclose(cut.tail(maps, training=False), model(pictures, training=False), atol=1e-5)
    expected = split_at_features(model)[0](pictures, training=False)
    assert np.allclose(cut.features(maps, training=False), expected, rtol=1e-4, atol=1e-5)


def test_training_is_over_in_time() -> None:
    """Of a million steps, as many as fit into two seconds: it ends, where all would take a day."""
    model = classifier(taps=True)
    cut = halves(model, to_unfreeze(model, "block_13_expand"))
    unfreeze(model, "block_13_expand")
    maps = np.random.default_rng(0).normal(0, 1, (24, cut.front.output_shape[1])).astype(np.float16)
    train = FeatureSource(Features(maps, np.arange(24)[:, None]), np.arange(24) % 3)
    recipe = Recipe(epochs=10**6, batch=24, learning_rate=1e-3)
    assert not train_tail(cut.tail, train, recipe, time.perf_counter() + 2)


def test_exactly_the_opened_layers_learn_and_no_statistics() -> None:
    model = classifier(taps=True)
    cut = halves(model, to_unfreeze(model, "block_13_expand"))
    opened = unfreeze(model, "block_13_expand")
    labels = np.arange(24) % 3
    pictures = np.random.default_rng(0).normal(0, 0.5, (24, 64, 64, 3)) + labels[:, None, None, None]
    maps = cut.front(pictures.astype(np.float32), training=False).numpy().astype(np.float16)
    before = {weight.name: weight.numpy() for weight in model.weights}
    train = FeatureSource(Features(maps, np.arange(24)[:, None]), labels)
    assert not train_tail(cut.tail, train, Recipe(epochs=3, batch=8, learning_rate=1e-2))
    changed = {weight.name for weight in model.weights if not np.array_equal(weight, before[weight.name])}
    logits = {layer.name for layer in model.layers if layer.name.startswith("logits_")}
    assert {name.split("/")[0] for name in changed} == {*opened, *logits}
    assert not any("moving" in name for name in changed)


def test_the_weights_end_as_an_average_of_those_on_the_way() -> None:
    """At a constant gradient each step of Adam is the rate: the average trails behind the sum of the steps by hand."""
    start = keras.Input((1,))
    tail = keras.Model(start, layers.Activation("sigmoid")(layers.Dense(1, use_bias=False)(start)))
    tail.set_weights([np.full((1, 1), -50.0, np.float32)])  # so wrong that its gradient is 1 at all times
    source = FeatureSource(Features(np.ones((4, 1), np.float32), np.arange(4)[:, None]), np.ones(4, np.int64))
    rate, total, warm, decay = 0.1, 20, 2, 0.02
    train_tail(tail, source, Recipe(epochs=10, batch=2, learning_rate=rate))
    weight = average = -50.0
    for step in range(total):
        now = rate * step / warm if step < warm else rate * (1 + np.cos(np.pi * (step - warm) / (total - warm))) / 2
        weight = weight * (1 - now * decay) + now
        keep = min(1 - 1 / 2, (step + 1) / (step + 10))
        average = keep * average + (1 - keep) * weight
    assert abs(weight - average) > 1e-3
    assert tail.get_weights()[0].item() == pytest.approx(average, abs=1e-3)


def test_what_is_best_on_validation_is_kept_and_told(colours: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)  # at others the signal of random layers all but vanishes, and the scores are noise
    base, _ = build_backbone("mobilenet-v2", "none", 64, width=0.35)
    weights = tmp_path / "random.h5"
    base.save_weights(weights)
    run = tmp_path / "run"
    arguments = ["--data", colours, "--out", run, "--backbone", "mobilenet-v2", "--width", 0.35, "--weights", weights]
    more = ["--size", 64, "--unfreeze", "block_13_expand", "--unfreeze-epochs", 2, "--augment", 1]
    done = run_here("train", *arguments, *more)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((run / "metrics.json").read_text())
    tried = metrics["fine_tuning"]["validation_accuracy"]
    assert list(tried) == [FROZEN, TRAINED, SOLVED]
    kept = metrics["fine_tuning"]["kept"]
    assert tried[kept] == max(tried.values())
    assert f"kept: {kept}, of frozen {tried[FROZEN]:.2%}" in done.stdout
    assert metrics["weights"] == {
        "source": "random.h5",
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    assert bool(metrics["unfrozen"]) == (kept != FROZEN)
    saved = keras.models.load_model(run / "model.keras", compile=False)
    kernel = "block_13_expand/kernel:0"
    values = [next(w.numpy() for w in model.weights if w.name == kernel) for model in (base, saved)]
    assert np.array_equal(*values) == (kept == FROZEN)
