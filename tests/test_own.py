"""A model that was trained elsewhere, in every format that Keras has written: proved as one of ours."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras as keras3
import numpy as np
import pytest
from conftest import run_here

from convert.gate import never_held_out
from edge import Classifier
from edge.errors import UserError
from edge.model.contract import ModelSpec
from train.dataset import Picture, load_dataset
from train.keras import keras, tf
from train.rundir import Run

SIDE = 32
COLOURS = {"blue": (200, 40, 40), "green": (40, 200, 40), "red": (40, 40, 200)}  # BGR


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes and no split: one folder a class, 60 pictures each."""
    root = tmp_path_factory.mktemp("own") / "photos"
    for label, colour in COLOURS.items():
        (root / label).mkdir(parents=True)
        for number in range(60):
            noise = np.random.default_rng([number, len(label)]).integers(-40, 40, (SIDE, SIDE, 3))
            cv2.imwrite(str(root / label / f"{number:03}.png"), np.clip(noise + colour, 0, 255).astype(np.uint8))
    spec = ModelSpec(tuple(COLOURS), (SIDE, SIDE), mean=(127.5,) * 3, std=(127.5,) * 3, backbone="by hand")
    (root.parent / "spec.json").write_text(spec.to_json())
    return root


def built(library: Any) -> Any:
    """The same small network in either Keras: blue, green and red from the mean of the picture."""
    image = library.Input((SIDE, SIDE, 3), name="image")
    x = library.layers.Conv2D(3, 1, activation="relu", name="convolution")(image)
    x = library.layers.GlobalAveragePooling2D(name="features")(x)
    model = library.Model(image, library.layers.Dense(3, activation="softmax", name="scores")(x))
    model.get_layer("convolution").set_weights([np.eye(3, dtype=np.float32)[None, None], np.ones(3)])
    model.get_layer("scores").set_weights([6 * np.eye(3, dtype=np.float32)[:, ::-1], np.zeros(3)])  # RGB to BGR
    return model


def bare(path: Path) -> None:
    """A SavedModel that no Keras wrote: a function of TensorFlow with a signature."""
    model = built(keras)
    module = tf.Module()
    module.model = model  # so that its variables are saved
    serve = tf.function(lambda image: {"scores": model(image)})
    signature = serve.get_concrete_function(tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32, name="image"))
    tf.saved_model.save(module, str(path), signatures=signature)


FORMATS: dict[str, Callable[[Path], object]] = {
    "two.keras": lambda path: built(keras).save(path),
    "two.h5": lambda path: built(keras).save(path),
    "two-saved": lambda path: built(keras).save(path, save_format="tf"),
    "bare-saved": bare,
    "three.keras": lambda path: built(keras3).save(path),
    "three.h5": lambda path: built(keras3).save(path),
    "three-saved": lambda path: built(keras3).export(path, verbose=False),
}


def black_or_white(library: Any, units: int, activation: str | None, inner: bool = False) -> Any:
    """White if the mean of the picture is above that of grey; `inner`: with its last layer in a model of its own."""
    image = library.Input((SIDE, SIDE, 3), name="image")
    x = library.layers.GlobalAveragePooling2D(name="features")(image)
    last = library.layers.Dense(units, activation=activation, name="scores")
    if inner:
        features = library.Input((3,))
        model = library.Model(image, library.Model(features, last(features))(x))
    else:
        model = library.Model(image, last(x))
    kernel = np.ones((3, 1), np.float32)
    last.set_weights([np.hstack([-kernel, kernel][2 - units :]), np.zeros(units)])
    return model


@pytest.mark.parametrize(
    ("library", "units", "activation", "inner"),
    [
        (keras, 1, None, False),  # one logit, as in TensorFlow's tutorial of cats and dogs
        (keras, 2, None, False),  # two logits
        (keras, 1, "sigmoid", False),
        (keras, 1, "sigmoid", True),  # its last layer is out of sight
        (keras3, 1, "sigmoid", False),  # the same, and of Keras 3
        (keras3, 1, None, False),
    ],
)
def test_two_classes_in_all_the_ways_to_end_a_model(
    library: Any, units: int, activation: str | None, inner: bool, tmp_path: Path
) -> None:
    for label, level in (("black", 90), ("white", 160)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(30):
            noise = np.random.default_rng([number, level]).integers(-40, 40, (SIDE, SIDE, 3))
            cv2.imwrite(str(tmp_path / "photos" / label / f"{number:03}.png"), (noise + level).astype(np.uint8))
    output = "probabilities" if activation else "logits"
    spec = ModelSpec(("black", "white"), (SIDE, SIDE), mean=(127.5,) * 3, std=(127.5,) * 3, output=output)
    (tmp_path / "spec.json").write_text(replace(spec, temperature=1.0 if activation else 0.5).to_json())
    black_or_white(library, units, activation, inner).save(tmp_path / "two.keras")
    job = run_here(
        "convert", tmp_path / "two.keras", "--data", tmp_path / "photos", "--spec", tmp_path / "spec.json",
        "--out", tmp_path / "run", "--scheme", "float32", "--tolerance", 20,
    )  # fmt: skip
    assert job.returncode == 0, job.stdout + job.stderr
    report = json.loads((tmp_path / "run" / "export" / "report.json").read_text())
    assert report["reference"]["accuracy"] == 1
    assert report["variants"][0]["accuracy"] == report["variants"][0]["agreement"] == 1
    logit = (2 if units == 2 else 1) * 3 * (160 - 127.5) / 127.5 / (1 if activation else 0.5)
    with Classifier(tmp_path / "run" / "export" / "best.tflite") as classifier:
        result = classifier.classify(np.full((SIDE, SIDE, 3), 160, np.uint8))
    assert (result.label, result.score) == ("white", pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-3))


def test_a_run_without_any_quantized_variant_ends_with_status_1(photos: Path, tmp_path: Path) -> None:
    FORMATS["three.keras"](tmp_path / "three.keras")
    job = run_here(
        "convert", tmp_path / "three.keras", "--data", photos, "--spec", photos.parent / "spec.json",
        "--out", tmp_path / "run", "--scheme", "qat-int8",
    )  # fmt: skip
    assert job.returncode == 1, job.stdout + job.stderr
    assert "no quantized variant could be made; best.tflite is the float model; try another --scheme" in job.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mean": (5000.0,) * 3}, "mean 127.5 and std 127.5"),  # the model was made for -1 to 1
        ({"labels": ("green", "red", "blue")}, "with the labels sorted: blue, green, red"),
    ],
)
def test_a_contract_that_makes_a_guess_of_the_model_ends_with_status_1(
    change: dict, told: str, photos: Path, tmp_path: Path
) -> None:
    FORMATS["two.keras"](tmp_path / "two.keras")
    spec = ModelSpec.from_json((photos.parent / "spec.json").read_text())
    (tmp_path / "spec.json").write_text(replace(spec, **change).to_json())
    job = run_here(
        "convert", tmp_path / "two.keras", "--data", photos, "--spec", tmp_path / "spec.json", "--out", tmp_path / "run"
    )
    assert job.returncode == 1, job.stdout + job.stderr
    assert told in job.stderr.splitlines()[-1], job.stderr
    assert not (tmp_path / "run" / "export").exists()  # nothing was passed


def test_copies_of_validation_pictures_never_calibrate() -> None:
    one, two, copy = (Picture(Path(name), 0, digest) for name, digest in (("1", "a"), ("2", "b"), ("3", "b")))
    run = Run(Path(), ModelSpec(("a", "b"), (8, 8)), {}, [one, copy], [two])
    assert never_held_out(run.train, run) == [one]
    with pytest.raises(UserError, match="not among those of validation"):
        never_held_out([copy], run)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_converted_and_proved(name: str, photos: Path, tmp_path: Path) -> None:
    FORMATS[name](tmp_path / name)
    spec = photos.parent / "spec.json"
    job = run_here(
        "convert",
        tmp_path / name,
        "--data",
        photos,
        "--spec",
        spec,
        "--out",
        tmp_path / "run",
        "--tolerance",
        10,
        "--scheme",
        "int8",
    )
    assert job.returncode == 0, job.stdout + job.stderr
    report = json.loads((tmp_path / "run" / "export" / "report.json").read_text())
    assert report["reference"]["accuracy"] == 1
    assert report["reference"]["pictures"] == len(load_dataset(photos).validation)
    assert {row["scheme"]: row["accuracy"] for row in report["variants"]} == {"float32": 1, "int8": 1}
    assert not any("PartitionedCall" in row["layer"] for variant in report["variants"] for row in variant["layers"])
    with Classifier(tmp_path / "run" / "export" / "best.tflite") as classifier:
        for label, colour in COLOURS.items():
            assert classifier.classify(np.full((50, 70, 3), colour, np.uint8)).label == label
