"""A float `.tflite` file of whatever maker: quantized, proved and described as a Keras model is."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Job, run_here

from convert.graph import Graph
from convert.lite import is_lite
from convert.metadata import add_metadata
from edge import Classifier
from edge.model.contract import ModelSpec, append_files, read_model
from edge.quiet import quiet
from train.keras import keras, layers, lite_converter, tf

SIDE = 32
THREE = {"blue": (190, 60, 60), "green": (60, 190, 60), "red": (60, 60, 190)}  # BGR
SPEC = ModelSpec(tuple(THREE), (SIDE, SIDE), mean=(127.5,) * 3, std=(127.5,) * 3)
TWO = replace(SPEC, labels=("blue", "red"))
REDDER = np.array([[9], [0], [-9]], np.float32)  # of the mean colour, RGB


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two and of three labels, 60 pictures each; a third of a picture's colour is that of another label."""
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for folder, names in (("three", list(THREE)), ("two", ["blue", "red"])):
        for label in names:
            (root / folder / label).mkdir(parents=True)
            for number in range(60):
                other = random.choice(names)
                mean = np.average([THREE[label], THREE[other]], axis=0, weights=[1, random.uniform(0.5, 0.9)])
                noise = random.integers(-40, 40, (SIDE, SIDE, 3))
                cv2.imwrite(str(root / folder / label / f"{number:03}.png"), np.clip(noise + mean, 0, 255))
    return root


def lite(model: keras.Model, half: bool = False) -> bytes:
    converter: Any = lite_converter(model)
    if half:
        converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    with quiet():
        return converter.convert()


def network(
    units: int = 3, end: str | None = "softmax", first: bool = False, inside: bool = False, shape: str = "row"
) -> keras.Model:
    """Says which colour the mean of a picture is nearest to; blue or red of one or two units.

    Args:
        end: its last activation.
        first: its channels come first, as in PyTorch.
        inside: they are turned to the front and back again within it.
        shape: "row", or "map": the scores come as (1, 1, 1, units).
    """
    image = x = keras.Input((3, SIDE, SIDE) if first else (SIDE, SIDE, 3))
    x = layers.Permute((2, 3, 1))(x) if first else x
    x = layers.Permute((2, 3, 1))(layers.ReLU()(layers.Permute((3, 1, 2))(x + 1.0))) if inside else x
    convolution = layers.Conv2D(3, 3, padding="same", activation="relu")
    x = layers.GlobalAveragePooling2D(keepdims=shape == "map")(convolution(x))
    last = layers.Conv2D(units, 1, activation=end) if shape == "map" else layers.Dense(units, activation=end)
    model = keras.Model(image, last(x))
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1] = np.eye(3)
    convolution.set_weights([kernel, np.full(3, 0.0 if inside else 1.0)])
    weights = {3: 6 * np.eye(3, dtype=np.float32)[:, ::-1], 2: np.hstack([-REDDER, REDDER]) / 2, 1: REDDER}[units]
    last.set_weights([weights.reshape(last.get_weights()[0].shape), np.zeros(units)])
    return model


def described(data: bytes, spec: ModelSpec = SPEC) -> bytes:
    """With the standard metadata of TensorFlow, and nothing of ours."""
    with_metadata = add_metadata(data, spec)
    whole = append_files(with_metadata, spec)
    path = whole[len(with_metadata) :]
    assert path.startswith(b"PK")
    return with_metadata + path.replace(b"frostlite.json", b"something.json")


def convert(path: Path, photos: Path, spec: ModelSpec | None, *more: object) -> Job:
    given: tuple[object, ...] = ()
    if spec:
        (path.parent / "spec.json").write_text(spec.to_json())
        given = "--spec", path.parent / "spec.json"
    out = path.parent / "out"
    return run_here("convert", path, "--data", photos, "--out", out, "--tolerance", 10, *given, *more)


# Remark, the file, its labels, the contract that is given; None where the file says it itself.
CASES: dict[str, tuple[Callable[[], bytes], ModelSpec, ModelSpec | None]] = {
    "softmax": (lambda: lite(network()), SPEC, SPEC),
    "metadata of TensorFlow": (lambda: described(lite(network())), SPEC, None),
    "weights in float16": (lambda: lite(network(), half=True), SPEC, SPEC),
    "channels first, as LiteRT Torch leaves them": (lambda: lite(network(first=True)), SPEC, SPEC),
    "turned inside": (lambda: lite(network(inside=True)), SPEC, SPEC),
    "scores as a map": (lambda: lite(network(shape="map")), SPEC, SPEC),
    "cooled logits": (lambda: lite(network(end=None)), SPEC, replace(SPEC, output="logits", temperature=2.0)),
    "one sigmoid": (lambda: lite(network(1, "sigmoid")), TWO, TWO),
    "one logit": (lambda: lite(network(1, None)), TWO, replace(TWO, output="logits")),
    "one sigmoid as a map": (lambda: lite(network(1, "sigmoid", shape="map")), TWO, TWO),
}


@pytest.mark.parametrize("case", CASES)
def test_a_float_file_is_quantized_and_proved(case: str, photos: Path, tmp_path: Path) -> None:
    make, spec, given = CASES[case]
    path = tmp_path / "model.tflite"
    path.write_bytes(make())
    folder = photos / ("three" if len(spec.labels) == 3 else "two")
    job = convert(path, folder, given, "--scheme", "int8", "--accept", "undecided")
    assert job.returncode == 0, job.stdout + job.stderr
    report = json.loads((tmp_path / "out" / "export" / "report.json").read_text())
    float_, int8 = report["variants"]
    assert report["reference"]["accuracy"] > 0.8
    assert float_["agreement"] == 1
    assert int8["agreement"] > 0.9
    assert int8["runtimes"]["ai-edge-litert"] == "ok"
    assert "elsewhere" in report["proof"]["why"]
    temperature = given.temperature if given else 1.0
    # The scores by hand: of the mean colour, which the network's weights tell apart.
    frame = cv2.imread(str(sorted((folder / "red").iterdir())[0]))
    mean = frame.reshape(-1, 3).mean(axis=0)[::-1] / 127.5  # RGB, 0 to 2
    logits = (6 * mean[::-1] if len(spec.labels) == 3 else np.array([0, (mean @ REDDER).item()])) / temperature
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    for scheme, far in (("float32", 1e-3), ("int8", 0.05)):
        with Classifier(tmp_path / "out" / "export" / f"{scheme}.tflite") as classifier:
            assert classifier.spec.labels == spec.labels
            assert classifier.interpreter.input.dtype == ("uint8" if scheme == "int8" else "float32")
            assert classifier.scores(frame) == pytest.approx(expected, abs=far), scheme


def test_every_scheme_that_needs_no_training_comes_of_a_file(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(described(lite(network())))
    job = convert(path, photos / "three", None, "--scheme", "all", "--accept", "undecided")
    assert job.returncode == 0, job.stdout + job.stderr
    report = json.loads((tmp_path / "out" / "export" / "report.json").read_text())
    names = {"float32", "float16", "dynamic", "weight-int8", "int8", "int16x8", "selective-int8"}
    assert {row["scheme"] for row in report["variants"]} == names
    assert all(row["agreement"] > 0.9 for row in report["variants"])
    assert set(report["skipped"].values()) == {"a .tflite file cannot be trained: give the Keras model"}
    # Its own float file again says all that it needs, and goes beside itself where no place is named.
    again = tmp_path / "out" / "export" / "float32.tflite"
    job = run_here("convert", again, "--data", photos / "three", "--scheme", "float16", "--tolerance", 10)
    assert job.returncode in (0, 3), job.stdout + job.stderr
    spec = read_model(again.with_suffix("") / "export" / "best.tflite").spec
    assert spec is not None
    assert spec.labels == SPEC.labels
    entries = Graph(read_model(again.with_suffix("") / "export" / "best.tflite").graph).model.metadata
    assert [entry.name for entry in entries].count(b"TFLITE_METADATA") == 1  # not that of the first file too


def test_an_archive_with_a_float_file(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "converted_tflite.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model_unquant.tflite", lite(network()))
        archive.writestr("labels.txt", "".join(f"{number} {name}\n" for number, name in enumerate(THREE)))
    job = run_here("convert", path, "--data", photos / "three", "--scheme", "int8", "--tolerance", 10)
    assert job.returncode in (0, 3), job.stdout + job.stderr
    assert "int8: accuracy" in job.stdout
    spec = read_model(tmp_path / "converted_tflite" / "export" / "int8.tflite").spec
    assert spec is not None
    assert (spec.mean, spec.resize) == ((127.5,) * 3, "crop")  # as its maker does


def quantized() -> bytes:
    converter: Any = lite_converter(network())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.full((1, SIDE, SIDE, 3), each, np.float32)] for each in (-1, 0, 1))
    with quiet():
        return converter.convert()


WRONG: dict[str, tuple[Callable[[], bytes], ModelSpec | None, int, str]] = {
    "8 bits already": (quantized, SPEC, 2, "give the float file that it was made of"),
    "nothing said": (lambda: lite(network()), None, 2, "give --spec FILE, with labels, size, mean and std"),
    "other labels": (lambda: described(lite(network()), replace(SPEC, labels=tuple("abc"))), None, 2, "found a, b, c"),
    "another size": (lambda: lite(network()), replace(SPEC, size=(16, 16)), 2, "is (1, 16, 16, 3), found (1, 32,"),
    "no probabilities": (lambda: lite(network(end=None)), SPEC, 2, 'put "output": "logits" into'),
    "no logits": (lambda: lite(network()), replace(SPEC, output="logits"), 2, 'take "output" out of'),
    "two units for three labels": (lambda: lite(network(2)), SPEC, 2, "for each of 3 labels, found 2"),
    "another mean": (lambda: lite(network()), replace(SPEC, mean=(5000.0,) * 3), 1, "mean 127.5 and std 127.5"),
    "another order": (
        lambda: lite(network()), replace(SPEC, labels=("green", "red", "blue")), 1, "labels sorted: blue, green, red",
    ),
    "cut off": (lambda: lite(network())[:2000], SPEC, 2, "model.tflite: "),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_converted_is_told_in_one_line(case: str, photos: Path, tmp_path: Path) -> None:
    make, spec, status, told = WRONG[case]
    path = tmp_path / "model.tflite"
    path.write_bytes(make())
    job = convert(path, photos / "three", spec, "--scheme", "int8")
    assert job.returncode == status, job.stdout + job.stderr
    assert told in job.stderr
    assert "Traceback" not in job.stderr
    assert not list((tmp_path / "out").rglob("*.tflite"))


def test_what_is_taken_for_a_file_of_this_kind(tmp_path: Path) -> None:
    assert not is_lite(tmp_path / "none.tflite")
    network().save(tmp_path / "m.keras")  # a zip too
    assert not is_lite(tmp_path / "m.keras")
    (tmp_path / "m.tflite").write_bytes(b"x")
    assert is_lite(tmp_path / "m.tflite")
