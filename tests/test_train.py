"""`python -m train` as a user meets it, and whether its figures are those of the model that it wrote."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run_here
from sklearn.metrics import confusion_matrix as sklearn_confusion

from edge.model.contract import ModelSpec
from edge.model.preprocess import prepare
from train.figures import confusion_matrix
from train.keras import keras, tf
from train.rundir import read_run


def test_the_run_directory_is_complete(colour_run: Path) -> None:
    names = {path.name for path in colour_run.iterdir()}
    expected = "model.keras spec.json labels.txt split.json history.csv curves.png confusion.png metrics.json"
    assert names >= set(expected.split())
    assert (colour_run / "labels.txt").read_text() == "blue\nred\n"
    spec = ModelSpec.from_json((colour_run / "spec.json").read_bytes())
    assert (spec.labels, spec.size, spec.mean[0], spec.std[0]) == (("blue", "red"), (96, 96), 127, 128)
    for name in ("curves.png", "confusion.png"):
        assert cv2.imread(str(colour_run / name)).std() > 5  # there is something on it


def test_figures_are_those_of_the_finished_model(colour_run: Path, colours: Path) -> None:
    """Measured again here, with Keras alone."""
    metrics = json.loads((colour_run / "metrics.json").read_text())
    model = keras.models.load_model(colour_run / "model.keras", compile=False)
    spec = ModelSpec.from_json((colour_run / "spec.json").read_bytes())
    for split, key in (("train", "train_accuracy"), ("validation", "validation_accuracy")):
        paths = sorted((colours / split).rglob("*.png"))
        tensors = np.concatenate([prepare(cv2.imread(str(path)), spec) for path in paths])
        predicted = model.predict(tensors, verbose=0).argmax(axis=1)
        truth = np.array([spec.labels.index(path.parent.name) for path in paths])
        assert metrics[key] == (predicted == truth).mean()
        assert metrics["images"][split] == len(paths)
    assert metrics["validation_accuracy"] == 1.0  # the order of the colour channels is all there is to learn
    assert metrics["labels"] == ["blue", "red"]
    assert set(metrics["seconds"]) >= {"features", "fit", "total"}


def test_the_history_has_a_row_an_epoch(colour_run: Path) -> None:
    metrics = json.loads((colour_run / "metrics.json").read_text())
    with (colour_run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == metrics["epochs"]
    best = max(rows, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"])))
    assert int(best["epoch"]) == metrics["best_epoch"]


def test_the_split_tells_where_each_picture_went(colour_run: Path, colours: Path) -> None:
    run = read_run(colour_run)
    assert {picture.path for picture in run.train} == set((colours / "train").rglob("*.png"))
    assert {picture.path for picture in run.validation} == set((colours / "validation").rglob("*.png"))


def test_a_second_run_computes_no_features(colour_run: Path, colours: Path, tmp_path: Path) -> None:
    again = run_here(
        "train", "--data", colours, "--out", tmp_path / "run", "--size", 96, "--epochs", 2, "--output", "sigmoid"
    )
    assert again.returncode == 0, again.stderr
    assert "0 computed" in again.stdout
    model = keras.models.load_model(tmp_path / "run" / "model.keras", compile=False)
    assert model.output_shape == (None, 1)


def test_the_mobilenet_tutorial(colours: Path, tmp_path: Path) -> None:
    """Frozen, pooled, dropout 0.2, then tuned from layer 100 on with a tenth of the learning rate, as TensorFlow's
    tutorial on transfer learning does with MobileNetV2."""
    base = keras.applications.MobileNetV2((96, 96, 3), include_top=False, weights=None)
    arguments = ["--backbone", "mobilenet-v2", "--weights", "none", "--size", 96, "--epochs", 2]
    arguments += ["--learning-rate", "1e-4", "--taps", "none", "--output", "sigmoid"]
    tuned = ["--unfreeze", len(base.layers) - 100, "--unfreeze-epochs", 1, "--augment", 1, "--tensorboard"]
    done = run_here("train", "--data", colours, "--out", tmp_path, *arguments, *tuned)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["unfrozen"] == [layer.name for layer in base.layers[100:] if layer.weights]
    assert metrics["epochs"] == 3
    assert metrics["parameters"]["trainable"] == 1_862_721  # as the tutorial prints it
    assert metrics["headline"] == "validation"
    assert "which chose the epoch" in done.stdout
    logs = list((tmp_path / "tensorboard").rglob("events.out.tfevents.*"))
    names = {
        value.tag
        for log in logs
        for event in tf.compat.v1.train.summary_iterator(str(log))
        for value in event.summary.value
    }
    assert {"epoch_loss", "epoch_accuracy"} <= names
    assert (tmp_path / "augmented.png").stat().st_size > 10_000


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_confusion_matrix_agrees_with_scikit_learn(classes: int) -> None:
    random = np.random.default_rng(classes)
    truth, predicted = random.integers(0, classes, (2, 200))
    expected = sklearn_confusion(truth, predicted, labels=range(classes))
    assert np.array_equal(confusion_matrix(truth, predicted, classes), expected)


def test_bad_input_is_one_line_and_status_2(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    cases = [
        (("--data", tmp_path / "none", "--out", tmp_path / "run"), "none"),  # no such folder
        (("--data", tmp_path / "empty", "--out", tmp_path / "run"), "empty"),  # nothing in it
        (("--data", colours / "train" / "red", "--out", tmp_path / "run"), "red"),  # pictures, but no classes
        (("--data", colours, "--out", tmp_path / "file"), "file"),  # a file in the way
        (("--data", colours, "--out", tmp_path / "run", "--backbone", "resnet9000"), "resnet9000"),  # unknown
        (("--data", colours, "--out", tmp_path / "run", "--dropout", "1.5"), "--dropout"),  # out of range
        (("--data", colours, "--out", tmp_path / "run", "--epochs", "0"), "--epochs"),  # out of range
        (("--data", colours, "--out", tmp_path / "run", "--resize", "zoom"), "zoom"),  # unknown
    ]
    for arguments, name in cases:
        job = run_here("train", *arguments)
        assert job.returncode == 2, (arguments, job)
        assert name in job.stderr.strip().splitlines()[-1], (arguments, job.stderr)
        assert "Traceback" not in job.stderr
        assert not (tmp_path / "run").exists()
