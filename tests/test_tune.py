"""Training-time schemes: stopped in the middle, they go on where they were and end as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, colour_picture, run_module

from convert.job import Job
from convert.tune import CLUSTERS, ROUNDS, STEPS, trainable_copy, tune
from edge.model.contract import ModelSpec
from train.checkpoint import Checkpoint
from train.dataset import Picture
from train.keras import keras, layers

SIDE = 32


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("tuned")
    pictures = []
    for number in range(48):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), colour_picture(("blue", "red")[number % 2], number, SIDE))
        pictures.append(Picture(path, number % 2, str(number)))
    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(16, 3, strides=4, activation="relu", name="convolution")(image)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(2, activation="softmax")(x))
    spec = ModelSpec(("blue", "red"), (SIDE, SIDE), mean=(127.5,) * 3, std=(127.5,) * 3)
    return Job(model, spec, pictures, pictures[:20], 1.0)


@pytest.mark.parametrize("step", ["prune", "cluster", "quantize"])
def test_a_stopped_step_ends_as_an_undisturbed_one(
    step: str, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(cache: str) -> list[np.ndarray]:
        monkeypatch.setenv("FROSTLITE_CACHE", str(tmp_path / cache))
        keras.utils.set_random_seed(1)  # clusters start from drawn ones
        return tune(job, (step,))[0].get_weights()

    undisturbed = fitted("one")
    save, saved = Checkpoint.save, []

    def save_and_stop(self: Checkpoint, *arguments: object) -> None:
        save(self, *arguments)  # type: ignore[arg-type]
        saved.append(arguments[1])
        if len(saved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        fitted("other")
    continued = fitted("other")
    assert [values["rounds"] for values in saved] == list(range(1, ROUNDS + 1))  # type: ignore[index]
    for one, other in zip(undisturbed, continued, strict=True):
        assert np.allclose(one, other, atol=1e-4)
    if step == "prune":
        kernel = next(weight for weight in continued if weight.ndim == 4)
        assert (kernel == 0).mean() == pytest.approx(0.5, abs=0.01)
    saved.clear()
    assert all(np.array_equal(one, other) for one, other in zip(continued, fitted("other"), strict=True))
    assert saved == []  # finished: nothing is fitted again


def test_quantize_aware_training_keeps_what_a_step_before_made(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROSTLITE_CACHE", str(tmp_path))
    keras.utils.set_random_seed(1)
    assert job.model
    start = job.model.get_layer("convolution").get_weights()[0]
    pruned, clustered, plain = (
        tune(job, steps)[0].get_layer("convolution").get_weights()[0]
        for steps in (("prune", "quantize"), ("cluster", "quantize"), ("quantize",))
    )
    assert (pruned == 0).mean() == pytest.approx(0.5, abs=0.01)
    assert 4 < len(np.unique(clustered)) <= CLUSTERS
    assert 0 < np.abs(plain - start).max() < 0.01  # it learned, at a low rate


def test_quantize_aware_training_of_layers_that_are_taken_apart(job: Job, tmp_path: Path) -> None:
    """tensorflow-model-optimization makes two layers of a separable convolution; what comes back has one again."""
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.SeparableConv2D(8, 3, strides=2, use_bias=False, name="first")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="normal")(x))
    x = layers.GlobalAveragePooling2D()(layers.SeparableConv2D(6, 3, activation="relu", name="second")(x))
    model = keras.Model(image, layers.Dense(2, activation="softmax", name="scores")(x))
    wrapped = STEPS["quantize"].wrap(trainable_copy(model), replace(job, model=model))
    back = STEPS["quantize"].unwrap(wrapped, trainable_copy(model))
    for layer in model.layers:
        for before, after in zip(layer.get_weights(), back.get_layer(layer.name).get_weights(), strict=True):
            assert np.array_equal(before, after), layer.name


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("FROSTLITE_SLOW") != "1", reason="a minute of training; FROSTLITE_SLOW=1 runs it")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_command_continues_after_a_kill(how: signal.Signals, colour_run: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "FROSTLITE_CACHE": str(tmp_path)}
    arguments = ["convert", colour_run, "--calibration", 20, "--scheme", "pruned-int8", "--tolerance", 50]
    command = [sys.executable, "-m", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 200
    while not [path for path in tmp_path.glob("tuned/*.npz") if path.name[0] != "."]:  # those are being written
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert errors.strip() == "stopped"
        assert not list((colour_run / "export").glob(".*"))  # nothing half-written
    again = run_module(*arguments, env=environment)
    assert again.returncode == 0, again.stderr
    assert "prune: continuing after round" in again.stdout
