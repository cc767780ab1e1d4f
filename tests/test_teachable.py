"""What Teachable Machine hands out, and what people take for a model by mistake."""

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from conftest import run_here

from edge import Classifier
from edge.errors import UserError
from edge.model.contract import read_model
from edge.quiet import quiet
from train.keras import keras, layers, lite_converter, tf

SIDE = 224
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")  # as its makers do
COLOURS = {"blue": (200, 40, 40), "green": (40, 200, 40), "red": (40, 40, 200)}  # BGR
KERNEL = 6 * np.eye(3, dtype=np.float32)[:, ::-1]
LABELS = "".join(f"{number} {name}\n" for number, name in enumerate(COLOURS))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of its three archives, by a network nested as its own: the softmax of six times the mean colour."""
    folder = tmp_path_factory.mktemp("parts")
    image = keras.Input((SIDE, SIDE, 3))
    deep = layers.DepthwiseConv2D(1, use_bias=False)
    body = keras.Sequential([keras.Model(image, deep(image)), layers.GlobalAveragePooling2D()])
    deep.set_weights([np.ones((1, 1, 3, 1), np.float32)])
    head = keras.Sequential([layers.Dense(3, input_shape=(3,)), layers.Dense(3, activation="softmax", use_bias=False)])
    head.layers[0].set_weights([np.eye(3), np.zeros(3)])
    head.layers[1].set_weights([KERNEL])
    model = keras.Sequential([body, head])
    model.build((None, SIDE, SIDE, 3))
    with quiet():
        model.save(folder / "keras_model.h5")
        plain = lite_converter(model).convert()
        converter: Any = lite_converter(model)
        colours = [
            np.full((1, SIDE, SIDE, 3), each, np.float32) for each in (*(np.eye(3) * 2 - 1), (-1, -1, -1), (1, 1, 1))
        ]
        converter.representative_dataset = lambda: ([each] for each in colours)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
        small = converter.convert()
    return {
        "keras_model.h5": (folder / "keras_model.h5").read_bytes(),
        "model_unquant.tflite": plain,
        "model.tflite": small,
        "labels.txt": LABELS.encode(),
    }


def archive(path: Path, parts: dict[str, bytes], *names: str, inside: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in names or parts:
            made.writestr(inside + name, parts[name])
    return path


def wide(colour: tuple[int, int, int]) -> np.ndarray:
    """A picture whose middle square has the colour, and whose sides are grey: it is cropped, as there."""
    frame = np.full((60, 140, 3), 128, np.uint8)
    frame[:, 40:100] = colour
    return frame


@pytest.mark.parametrize(
    ("names", "inside"),
    [
        ((), ""),  # all in one
        (("model_unquant.tflite", "labels.txt"), ""),  # converted_tflite.zip
        (("model.tflite", "labels.txt"), ""),  # converted_tflite_quantized.zip
        (("model_unquant.tflite", "labels.txt"), "converted_tflite/"),  # packed again with its folder
    ],
)
def test_its_archive_is_classified_with(
    names: tuple[str, ...], inside: str, parts: dict[str, bytes], tmp_path: Path
) -> None:
    path = archive(tmp_path / "converted.zip", parts, *names, inside=inside)
    with Classifier(path) as classifier:
        assert classifier.spec.labels == tuple(COLOURS)
        for colour in COLOURS.values():
            powers = np.exp((np.array(colour[::-1]) / 127.5 - 1) @ KERNEL)
            assert classifier.scores(wide(colour)) == pytest.approx(powers / powers.sum(), abs=0.03)


def test_by_the_command_line(parts: dict[str, bytes], tmp_path: Path) -> None:
    path = archive(tmp_path / "converted.zip", parts)
    cv2.imwrite(str(tmp_path / "red.png"), wide(COLOURS["red"]))
    job = run_here("edge", "classify", path, tmp_path / "red.png", "--json")
    assert job.returncode == 0, job.stderr
    assert json.loads(job.stdout)["label"] == "red"


def test_it_converts(parts: dict[str, bytes], tmp_path: Path) -> None:
    """Without a contract, which the archive stands for, and without a place, which is beside it."""
    path = archive(tmp_path / "converted_keras.zip", parts, "keras_model.h5", "labels.txt")
    for label, colour in COLOURS.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(40):
            noise = np.random.default_rng([number, len(label)]).integers(-40, 40, (24, 24, 3))
            frame = np.clip(noise + colour, 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "photos" / label / f"{number}.png"), frame)
    job = run_here("convert", path, "--data", tmp_path / "photos", "--tolerance", 20)
    assert job.returncode == 0, job.stdout + job.stderr
    best = tmp_path / "converted_keras" / "export" / "best.tflite"
    with Classifier(best) as classifier:
        assert classifier.spec.resize == "crop"
        assert [classifier.classify(wide(colour)).label for colour in COLOURS.values()] == list(COLOURS)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("keras_model.h5", "labels.txt"), "an archive with a Keras model: python -m convert .* --data"),
        (("model_edgetpu.tflite", "labels.txt"), "Edge TPU"),
        (("a.tflite", "b.tflite"), r"found a\.tflite, b\.tflite: unpack it"),
        (("labels.txt",), r"without a model, with labels\.txt"),
        (("model.json", "weights.bin"), r"TensorFlow\.js"),
        (("archive/data.pkl",), "PyTorch"),
        (("config.json", "model.weights.h5"), "a Keras model"),
    ],
)
def test_other_archives_are_one_line(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", dict.fromkeys(names, b"x"))
    with pytest.raises(UserError, match=message) as caught:
        read_model(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.tflite", b"", "an empty file: download or copy it again"),
        ("m.tflite", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer.*git lfs pull"),
        ("m.tflite", b"\n<!DOCTYPE html>\n<html>", "a web page"),
        ("m.tflite", b"\xef\xbb\xbf<html lang='en'>", "a web page"),
        ("m.onnx", b"\x08\x08\x12\x07pytorch\x1a", "an ONNX model.*onnx2tf"),
        ("m.tflite", b"\x08\x08\x12\x07pytorch\x1a", "an ONNX model"),  # renamed
        ("m.pt", b"\x80\x02\x8a\nl\xfc\x9cF", "a pickle, as PyTorch writes"),
        ("m.pb", b"\n\x0f\n\x05image\x12", "a TensorFlow graph"),
        ("saved_model.pb", b"\x08\x01\x12\x80", "the graph of a SavedModel: give its folder"),
        ("m.mlmodel", b"\x08\x04\x12\x10", "a Core ML model"),
        ("m.gz", b"\x1f\x8b\x08\0", "unpack it"),
        ("m.jpg", b"\xff\xd8\xff\xe0", "a picture: the model comes first"),
        ("m.zip", b"PK\x03\x04 cut", "a damaged zip archive|zip"),
        ("m.tflite", b"hello world", "another kind of file, or damaged"),
    ],
)
def test_other_files_are_one_line(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_model(path)
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)


def test_keras_files_tasks_and_folders_are_one_line(parts: dict[str, bytes], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = "{}"
    with pytest.raises(UserError, match=r"a Keras model \(HDF5\): python -m convert"):
        read_model(tmp_path / "m.h5")
    with pytest.raises(UserError, match="bundle of several models"):
        read_model(archive(tmp_path / "hand.task", parts, "model.tflite"))
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    with pytest.raises(UserError, match="a SavedModel: python -m convert"):
        read_model(tmp_path / "saved")
    (tmp_path / "run" / "export").mkdir(parents=True)
    (tmp_path / "run" / "spec.json").touch()
    with pytest.raises(UserError, match=r"a run directory: take .*best\.tflite"):
        read_model(tmp_path / "run")
