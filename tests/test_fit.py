"""The fit: what is frozen stays bit for bit, what stops goes on as if it had not, and the options do what they say."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run_module

from edge.errors import UserError
from edge.model.contract import ModelSpec
from edge.model.head import Head, softmax
from train.augment import Augmentation
from train.backbones import build_backbone
from train.checkpoint import Checkpoint
from train.dataset import Dataset, load_dataset
from train.features import Features
from train.fit import Fit, Recipe, as_scores, batches, fit_stage, scores
from train.keras import keras, layers
from train.model import (
    build_classifier,
    logit_layers,
    parameters,
    parts,
    read_head,
    split_at_features,
    unfreeze,
    write_head,
)
from train.source import FeatureSource, PictureSource


def source(count: int = 60, width: int = 8, classes: int = 3, seed: int = 0, dtype: type = np.float32) -> FeatureSource:
    """Clusters that overlap a little."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    centres = np.random.default_rng(7).normal(0, 1, (classes, width))
    matrix = (centres[labels] + random.normal(0, 0.7, (count, width))).astype(dtype)
    return FeatureSource(Features(matrix, np.arange(count)), labels)


def head(width: int = 8, classes: int = 3) -> keras.Model:
    keras.utils.set_random_seed(0)
    features = keras.Input((width,))
    hidden = layers.Dense(16, activation="relu")(features)
    return keras.Model(features, layers.Dense(classes, activation="softmax")(hidden))


@pytest.fixture(scope="module")
def pictures(colours: Path) -> Dataset:
    return load_dataset(colours)


def test_exactly_the_unfrozen_layers_change(pictures: Dataset) -> None:
    keras.utils.set_random_seed(0)  # some initial weights leave a ReLU6 without a gradient
    base, entry = build_backbone("mobilenet-v2", "none", 32, width=0.35)
    model = build_classifier(base, 2)
    spec = ModelSpec(pictures.labels, (32, 32), mean=entry.mean, std=entry.std)
    train, validation = PictureSource(pictures.train, spec, Augmentation()), PictureSource(pictures.validation, spec)
    before = {weight.name: weight.numpy() for weight in model.weights}
    fit = Fit()

    def changed() -> set[str]:
        return {
            weight.name.split("/")[0] for weight in model.weights if not np.array_equal(weight, before[weight.name])
        }

    fit_stage(model, train, validation, Recipe(epochs=1), fit)
    assert changed() == {"logits"}  # all of the backbone is bit-identical, BatchNormalization too
    opened = unfreeze(model, "block_15_expand")
    assert opened[0] == "block_15_expand"
    assert "block_15_expand_BN" in opened
    statistics = {weight.name: weight.numpy() for weight in model.weights if "moving" in weight.name}
    trainable, frozen = parameters(model)
    assert trainable + frozen == model.count_params()
    fit_stage(model, train, validation, Recipe(epochs=1, stop_at_train_accuracy=0.0), fit, number=1)  # keeps that epoch
    assert changed() == {"logits", *opened}
    for weight in model.weights:  # scale and offset learn, the statistics stay
        assert "moving" not in weight.name or np.array_equal(weight, statistics[weight.name])
    assert fit.stages == [1, 2]


def test_unfreeze_counts_from_the_head() -> None:
    base, _ = build_backbone("mobilenet-v2", "none", 32, width=0.35)
    model = build_classifier(base, 2)
    assert unfreeze(model, "3") == ["Conv_1", "Conv_1_bn"]  # then its ReLU


@pytest.mark.parametrize("older", [False, True])
def test_a_fit_that_was_killed_goes_on_bit_for_bit(tmp_path: Path, older: bool) -> None:
    recipe = Recipe(epochs=8, patience=0, batch=16)
    whole_fit, whole_head = Fit(), head()
    fit_stage(whole_head, source(), source(30, seed=1), recipe, whole_fit)

    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 5:
                raise SystemExit

    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", "same")
    with pytest.raises(SystemExit):
        fit_stage(head(), source(), source(30, seed=1), recipe, Fit(), checkpoint, 0, [Killed()])
    if older:  # as a version wrote it that did not know of the lowest loss
        arrays, state = checkpoint.load()  # type: ignore[misc]
        del state["lowest"]
        checkpoint.save(arrays, state)
    fit, again = Fit(), head()
    fit_stage(again, source(), source(30, seed=1), recipe, fit, checkpoint)

    def values(of: Fit) -> list[dict[str, float]]:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in of.history]

    assert values(fit) == values(whole_fit)
    assert fit.best_epoch == whole_fit.best_epoch
    for expected, found in zip(whole_head.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(found, expected)


def test_a_fit_that_was_interrupted_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.fit._DISK", 1.0)  # a disk so slow that no checkpoint is written on the way
    recipe = Recipe(epochs=6, patience=0, batch=16)
    whole_fit, whole_head = Fit(), head()
    fit_stage(whole_head, source(), source(30, seed=1), recipe, whole_fit)

    class Interrupted(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            if len(fit.history) == 3:
                raise KeyboardInterrupt

    fit, again, checkpoint = Fit(), head(), Checkpoint(tmp_path / "checkpoint.npz", "same")
    fit_stage(again, source(), source(30, seed=1), recipe, fit, checkpoint, 0, [Interrupted()])
    assert fit.interrupted
    assert len(fit.history) == 3
    fit, again = Fit(), head()
    fit_stage(again, source(), source(30, seed=1), recipe, fit, checkpoint)
    assert [row["val_loss"] for row in fit.history] == [row["val_loss"] for row in whole_fit.history]
    for expected, found in zip(whole_head.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(found, expected)


def test_a_loss_that_is_no_number_ends_in_one_line() -> None:
    with pytest.raises(UserError, match=r"the loss became .* try a --learning-rate below 1e\+38"):
        fit_stage(head(), source(), source(30, seed=1), Recipe(epochs=3, learning_rate=1e38), Fit())


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda data: data[:200] + data[210:]])
def test_a_damaged_checkpoint_and_that_of_another_command_count_as_none(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "checkpoint.npz"
    Checkpoint(path, "one").save({"best": [np.arange(100.0)]}, {"stage": 0})
    assert Checkpoint(path, "one").load() is not None
    assert Checkpoint(path, "other").load() is None
    path.write_bytes(damage(path.read_bytes()))
    assert Checkpoint(path, "one").load() is None


@pytest.mark.parametrize(
    ("width", "dtype", "rate"),
    [
        (8, np.float32, 1e-2),  # a pooled map
        (9000, np.float16, 1e-4),  # a flattened one: compiled by XLA, and kept in half precision
    ],
)
def test_the_best_epoch_on_validation_is_kept(width: int, dtype: type, rate: float) -> None:
    fit, model, validation = Fit(), head(width), source(30, width, seed=1, dtype=dtype)
    validation.labels = np.roll(validation.labels, 1)  # the longer it learns, the more sure it is of what is wrong
    recipe = Recipe(epochs=20, learning_rate=rate, patience=0)
    fit_stage(model, source(60, width, dtype=dtype), validation, recipe, fit)
    best = max(fit.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert fit.history[fit.best_epoch - 1] == best
    assert fit.history[-1]["val_loss"] > 1.05 * best["val_loss"]
    found = scores(model, validation)
    assert (found.argmax(axis=1) == validation.labels).mean() == pytest.approx(best["val_accuracy"])
    assert -np.log(found[np.arange(30), validation.labels]).mean() == pytest.approx(best["val_loss"], rel=1e-3)


def test_it_stops_without_progress_and_at_a_training_accuracy() -> None:
    fit = Fit()
    fit_stage(head(), source(), source(30, seed=1), Recipe(epochs=300, learning_rate=0.05, patience=3), fit)
    assert len(fit.history) < 300
    fit = Fit()
    fit_stage(head(), source(), source(30, seed=1), Recipe(epochs=300, patience=0, stop_at_train_accuracy=0.9), fit)
    assert fit.reached
    assert fit.best_epoch == len(fit.history)
    assert [row["accuracy"] >= 0.9 for row in fit.history] == [False] * (len(fit.history) - 1) + [True]


def test_balanced_classes_weigh_the_same() -> None:
    unbalanced = FeatureSource(Features(np.zeros((10, 2), np.float32), np.arange(10)), np.array([0] * 8 + [1] * 2))
    [(_, targets, weights)] = batches(unbalanced, Recipe(balance=True), 2, 32, 0)
    assert weights[targets[:, 0] == 1].sum() == pytest.approx(weights[targets[:, 1] == 1].sum()) == pytest.approx(5)


def test_mixup_mixes_inputs_and_targets_alike() -> None:
    """Each input is its own one-hot target, so what comes out must be equal again."""
    labels = np.arange(6)
    eye = FeatureSource(Features(np.eye(6, dtype=np.float32), np.arange(6)), labels)
    [(inputs, targets, _)] = batches(eye, Recipe(mixup=0.4), 6, 32, 0)
    assert np.allclose(inputs, targets)
    assert ((targets > 0) & (targets < 1)).any()


def test_one_sigmoid_and_smooth_labels_are_fitted_too() -> None:
    model = keras.Sequential([layers.Dense(1, activation="sigmoid")])
    model.build((None, 8))
    fit = Fit()
    recipe = Recipe(epochs=60, learning_rate=0.05, label_smoothing=0.1, mixup=0.2, balance=True)
    fit_stage(model, source(classes=2), source(30, classes=2, seed=1), recipe, fit)
    assert fit.history[fit.best_epoch - 1]["val_accuracy"] >= 0.8


def test_the_two_halves_of_a_classifier_are_the_whole() -> None:
    base, _ = build_backbone("mobilenet-v2", "none", 32, width=0.35)
    model = build_classifier(base, 4, "flatten", 0.3, dense=(32, 16))
    names = [layer.name for layer in model.layers]
    assert names[names.index("features") :] == [
        "features", "dense_1", "dropout_1", "dense_2", "dropout_2", "logits", "scores",
    ]  # fmt: skip
    extractor, top = split_at_features(model)
    image = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    assert np.allclose(top(extractor(image)), model(image), atol=1e-6)


@pytest.mark.parametrize("dense", [(), (16,)])
@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_the_two_halves_are_the_whole_with_several_depths(dense: tuple[int, ...], output: str) -> None:
    base, entry = build_backbone("mobilenet-v2", "none", 32, width=0.35)
    model = build_classifier(base, 2, "pool", 0.3, output, dense, entry.taps)
    extractor, top = split_at_features(model)
    image = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    features = extractor(image).numpy()
    assert np.allclose(top(features), model(image), atol=1e-6)
    assert len(parts(model)) == 4
    for part, tap in zip(parts(model), entry.taps, strict=False):
        pooled = keras.Model(base.input, base.get_layer(tap).output)(image, training=False).numpy().mean(axis=(1, 2))
        assert np.allclose(features[:, part], pooled, atol=1e-5)


def test_the_halves_of_a_model_that_another_process_made(tmp_path: Path) -> None:
    """Keras counted the names of its layers there, as in InceptionV3, and may count from nothing here."""
    image = keras.Input((8, 8, 3))
    join = layers.Concatenate(name="concatenate")
    both = join([layers.Conv2D(4, 3, name="a")(image), layers.Conv2D(4, 3, name="b")(image)])
    model = build_classifier(keras.Model(image, layers.Conv2D(5, 3, name="top")(both)), 2, taps=("concatenate",))
    model.save(tmp_path / "m.keras")
    found = keras.models.load_model(tmp_path / "m.keras")
    keras.backend.clear_session()
    extractor, top = split_at_features(found)
    pictures = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)
    assert np.allclose(top(extractor(pictures)), model(pictures), atol=1e-6)


@pytest.mark.parametrize(("labels", "output"), [(2, "softmax"), (5, "softmax"), (2, "sigmoid")])
@pytest.mark.parametrize("depths", [1, 4])
def test_a_linear_head_becomes_the_weights_of_the_model(labels: int, output: str, depths: int, tmp_path: Path) -> None:
    base, entry = build_backbone("mobilenet-v2", "none", 32, width=0.35)
    model = build_classifier(base, labels, "pool", 0.3, output, taps=entry.taps if depths > 1 else ())
    dice = np.random.default_rng(0)
    features = dice.normal(2, 1, (7, parts(model)[-1].stop)).astype(np.float32)
    solved = Head(dice.normal(0, 0.1, (features.shape[1], labels)), dice.normal(0, 1, labels))
    expected = softmax(solved.logits(features))
    write_head(model, solved, features.mean(axis=0))
    assert np.allclose(as_scores(split_at_features(model)[1](features).numpy()), expected, atol=1e-5)
    assert np.allclose(softmax(read_head(model).logits(features)), expected, atol=1e-5)
    for layer, part in zip(logit_layers(model), parts(model), strict=True):
        middle = layer(features[:, part]).numpy().mean(axis=0)  # small logits around zero suit 8 bits
        assert layer is logit_layers(model)[-1] or np.allclose(middle, 0, atol=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert np.allclose(softmax(read_head(again).logits(features)), expected, atol=1e-5)


def test_the_tutorial_of_tensorflow_on_fine_tuning() -> None:
    """MobileNetV2 at 160 pixels, opened from layer 100 on: it prints 56 variables and 1,862,721 parameters."""
    base, _ = build_backbone("mobilenet-v2", "none", 160)
    model = build_classifier(base, 2, output="sigmoid")
    unfreeze(model, str(len(base.layers) - 100))
    assert len(model.trainable_variables) == 56
    assert parameters(model)[0] == 1_862_721


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="slow: set FROSTLITE_SLOW=1")
def test_killed_and_interrupted_runs_are_continued_by_the_same_command(colours: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["--data", colours, "--out", run, "--backbone", "mobilenet-v2", "--width", "0.35", "--weights", "none"]
    arguments += ["--size", "32", "--epochs", "1500", "--patience", "0", "--seed", "3"]
    command = [sys.executable, "-m", "train", *map(str, arguments)]

    def stop_after_checkpoint(with_signal: int) -> tuple[int, str]:
        checkpoint = run / "checkpoint.npz"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + 120
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline
            assert job.poll() is None
            time.sleep(0.05)
        job.send_signal(with_signal)
        output, _ = job.communicate(timeout=120)
        return job.returncode, output

    code, _ = stop_after_checkpoint(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (run / "model.keras").exists()
    assert not (run / "metrics.json").exists()
    code, output = stop_after_checkpoint(signal.SIGINT)
    assert code == 130
    assert "continuing after epoch" in output
    assert "Traceback" not in output
    keras.models.load_model(run / "model.keras", compile=False)  # the best so far
    done = run_module("train", *arguments)
    assert done.returncode == 0, done.stderr
    assert "continuing after epoch" in done.stdout
    with (run / "history.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(1, 1501))
    assert not (run / "checkpoint.npz").exists()


@pytest.mark.parametrize(
    ("examples", "batch", "sizes"),
    [
        (60, 20, {20}),  # it divides
        (1027, 128, {128, 129}),  # three are left over: no batch of their own
        (100, 64, {50}),  # many are left over
        (5, 32, {5}),  # fewer than a batch
    ],
)
def test_the_batches_of_an_epoch_are_of_one_size_and_have_every_example_once(
    examples: int, batch: int, sizes: set[int]
) -> None:
    numbered = FeatureSource(Features(np.arange(examples)[:, None], np.arange(examples)), np.zeros(examples, int))
    found = [inputs[:, 0] for inputs, *_ in batches(numbered, Recipe(batch=batch), 2, batch, 0)]
    assert {len(each) for each in found} == sizes
    assert sorted(np.concatenate(found)) == list(range(examples))
