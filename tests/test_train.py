"""`python -m train` as a user meets it, and whether its figures are those of the model that it wrote."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run_here
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import precision_score, recall_score

from edge.model.contract import ModelSpec
from edge.model.preprocess import prepare
from edge.share import wilson
from train.figures import confusion_matrix, figures
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


def test_the_history_of_a_solved_head_has_a_row_a_candidate(colour_run: Path) -> None:
    metrics = json.loads((colour_run / "metrics.json").read_text())
    with (colour_run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    chosen = metrics["head"]
    assert (chosen["kind"], str(chosen["strength"])) in {(row["kind"], row["strength"]) for row in rows}
    assert all(0 <= float(row["accuracy"]) <= 1 + 1e-9 and float(row["loss"]) > 0 for row in rows)


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
    assert "which also chose the model" in done.stdout
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


SMALL = ["--backbone", "mobilenet-v2", "--width", "0.35", "--weights", "none", "--size", 32]


def test_a_solved_run_tells_what_it_is_on_pictures_held_out(colours: Path, tmp_path: Path) -> None:
    """A validation folder that was given is never fitted on: there the figure is that of the finished model."""
    done = run_here("train", "--data", colours, "--out", tmp_path, *SMALL)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["headline"], metrics["epochs"]) == ("crossfit", 0)
    assert metrics["head"]["kind"] in ("lda", "logistic")
    assert metrics["figures"]["crossfit"]["pictures"] == 60 + 24
    low, high = metrics["interval"]
    assert low <= metrics["crossfit_accuracy"] <= high
    assert f"{metrics['crossfit_accuracy']:.2%}" in done.stdout
    assert "on 84 pictures, each answered by a head that was not fitted on it" in done.stdout
    model = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert [layer.name for layer in model.layers if layer.name.startswith("logits")] == [
        "logits_1", "logits_2", "logits_3", "logits_4", "logits",
    ]  # fmt: skip
    run = read_run(tmp_path)
    tensors = np.concatenate([prepare(cv2.imread(str(picture.path)), run.spec) for picture in run.validation])
    predicted = model.predict(tensors, verbose=0).argmax(axis=1)
    truth = np.array([picture.label for picture in run.validation])
    assert metrics["validation_accuracy"] == (predicted == truth).mean()
    for label, index in (("blue", 0), ("red", 1)):
        recall = metrics["figures"]["validation"]["recall"][label]
        assert recall == pytest.approx((predicted == truth)[truth == index].mean())
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    [chosen] = [row for row in rows if row["chosen"] == "1"]
    assert chosen["kind"] == metrics["head"]["kind"]


def test_an_own_split_is_fitted_whole_and_told_out_of_fold(colours: Path, tmp_path: Path) -> None:
    done = run_here("train", "--data", colours / "train", "--out", tmp_path, *SMALL, "--augment", 1, "--balance")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["figures"]["crossfit"]["pictures"] == 60
    model = keras.models.load_model(tmp_path / "model.keras", compile=False)
    run = read_run(tmp_path)
    tensors = np.concatenate([prepare(cv2.imread(str(picture.path)), run.spec) for picture in run.train])
    truth = np.array([picture.label for picture in run.train])
    assert metrics["train_accuracy"] == (model.predict(tensors, verbose=0).argmax(axis=1) == truth).mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fit", "lda", "--dense", "8"], "--fit lda: solves the head in one step; expected no --dense"),
        (["--fit", "logistic", "--epochs", "3"], "expected no --epochs"),
        (["--taps", "all", "--head", "flatten"], "--taps all: expected --head pool and no --cut"),
    ],
)
def test_flags_that_exclude_each_other_are_told(arguments: list[str], message: str, tmp_path: Path) -> None:
    job = run_here("train", "--data", tmp_path, "--out", tmp_path / "run", *arguments)
    assert job.returncode == 2
    assert message in job.stderr


@pytest.mark.parametrize(("right", "of"), [(0, 10), (10, 10), (250, 256), (1, 3), (8700, 10000)])
def test_the_interval_is_that_of_wilson(right: int, of: int) -> None:
    expected = binomtest(right, of).proportion_ci(0.95, "wilson")
    assert wilson(right, of) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
def test_recall_and_precision_agree_with_scikit_learn(classes: int) -> None:
    random = np.random.default_rng(classes)
    truth, answers = random.integers(0, classes, (2, 200))
    labels = [str(label) for label in range(classes)]
    found = figures(answers, truth, labels)
    assert list(found.recall.values()) == pytest.approx(recall_score(truth, answers, average=None))
    assert list(found.precision.values()) == pytest.approx(precision_score(truth, answers, average=None))
    assert found.accuracy == (answers == truth).mean()
