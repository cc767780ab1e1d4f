"""Keras models and SavedModels as people have them: each works as the original does, or is one line with the remedy."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras as keras3
import numpy as np
import pytest

from convert.export import widen
from convert.load import load_model
from convert.own import as_probabilities, check_outputs
from edge.errors import UserError
from edge.model.contract import ModelSpec
from edge.model.interpreter import Interpreter
from edge.model.preprocess import prepare
from edge.pictures import read_picture
from edge.quiet import quiet
from train.dataset import Picture
from train.keras import converted, keras, tf
from train.rundir import Run

SIDE = 16
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of those who write them
COLOURS = {"blue": (200, 40, 40), "green": (40, 200, 40), "red": (40, 40, 200)}  # BGR
SPEC = ModelSpec(tuple(COLOURS), (SIDE, SIDE), mean=(127.5,) * 3, std=(127.5,) * 3)
RAW = replace(SPEC, mean=(0.0,) * 3, std=(1.0,) * 3)
LOGITS = replace(SPEC, output="logits")
TWO = replace(SPEC, labels=("blue", "red"))
KERNEL = 6 * np.eye(3, dtype=np.float32)[:, ::-1]  # RGB to the labels


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    folder = tmp_path_factory.mktemp("photos")
    found = []
    for label, (name, colour) in enumerate(COLOURS.items()):
        (folder / name).mkdir()
        for number in range(20):
            noise = np.random.default_rng([number, label]).integers(-40, 40, (SIDE, SIDE, 3))
            path = folder / name / f"{number}.png"
            cv2.imwrite(str(path), np.clip(noise + colour, 0, 255).astype(np.uint8))
            found.append(Picture(path, label, ""))
    return found


def built(
    library: Any, end: str | None = "softmax", shape: Any = (SIDE, SIDE, 3), batch: int | None = None, units: int = 3,
    bias: bool = True, first: Any = (), dtype: str | None = None, second: bool = False,
) -> Any:  # fmt: skip
    """The labels from the mean colour, -1 to 1; `first`: layers in front."""
    name = {"batch_size": batch} if batch else {}
    image = library.Input(shape, dtype=dtype, **name)
    x = image if dtype is None else library.layers.Rescaling(1 / 127.5, -1)(image)
    for layer in first:
        x = layer(x)
    features = library.layers.GlobalAveragePooling2D()(x)
    last = library.layers.Dense(units, use_bias=bias, activation=end, dtype="float32")
    scores = last(features)
    model = library.Model(image, [scores, features] if second else scores)
    kernel = {3: KERNEL, 2: KERNEL[:, ::2], 1: KERNEL[:, 2:] - KERNEL[:, :1]}[units]
    if features.shape[-1] == 3:
        last.set_weights([kernel, np.zeros(units)][: 2 if bias else 1])
    return model


def ended(end: Callable[[Any], Any]) -> Any:
    model = built(keras)
    return keras.Model(model.input, end(model.output))


def mixed(library: Any) -> Any:
    library.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = built(
            library, first=[library.layers.Conv2D(3, 1, name="convolution"), library.layers.BatchNormalization()]
        )
        model.get_layer("convolution").set_weights([np.eye(3, dtype=np.float32)[None, None], np.zeros(3)])
        return model
    finally:
        library.mixed_precision.set_global_policy("float32")


def augmented(library: Any) -> Any:
    """With augmentation and dropout inside; so strong that nobody would be right with it."""
    inside = [
        library.layers.RandomFlip(),
        library.layers.RandomRotation(0.5),
        library.layers.RandomTranslation(0.9, 0.9),
    ]
    return built(library, first=[*inside, library.layers.Dropout(0.9)])


def signed(
    path: Path, *, shape: Any = (None, SIDE, SIDE, 3), dtype: Any = tf.float32, name: str | None = "serving_default",
    more: str | None = None, outputs: Callable[[Any, Any], Any] = lambda scores, image: {"scores": scores},
    call: bool = False,
) -> None:  # fmt: skip
    """A SavedModel that no Keras wrote."""

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(shape, dtype, name="image")])
        def __call__(self, image: Any) -> Any:
            x = tf.cast(image, tf.float32)
            x = x / 127.5 - 1 if dtype == tf.uint8 else x
            return outputs(tf.nn.softmax(tf.reduce_mean(x, (1, 2)) @ tf.constant(KERNEL)), x)

    module = Module()
    concrete = module.__call__.get_concrete_function()
    signatures = {each: concrete for each in (name, more) if each}
    tf.saved_model.save(module, str(path), signatures=None if call else signatures)


def bytes_in(path: Path) -> None:
    module = tf.Module()
    taken = tf.TensorSpec((None,), tf.string, name="image_bytes")
    serve = tf.function(lambda data: {"scores": tf.zeros((tf.shape(data)[0], 3))}, input_signature=[taken])
    module.serve = serve
    tf.saved_model.save(module, str(path), signatures=serve.get_concrete_function())


def subclassed(library: Any) -> Any:
    class Own(library.Model):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.last = (
                library.layers.GlobalAveragePooling2D(),
                library.layers.Dense(3, activation="softmax"),
            )

        def call(self, image: Any, training: bool = False) -> Any:
            return self.last(self.pool(image))

    model = Own()
    model(np.zeros((1, SIDE, SIDE, 3), np.float32))
    model.last.set_weights([KERNEL, np.zeros(3)])
    return model


WORKS: dict[str, tuple[str, Callable[[Path], object], ModelSpec]] = {
    "fixed batch": ("m.keras", lambda path: built(keras, batch=1).save(path), SPEC),
    "fixed batch, Keras 3": ("m.keras", lambda path: built(keras3, batch=1).save(path), SPEC),
    "fixed batch, SavedModel": ("m", lambda path: signed(path, shape=(1, SIDE, SIDE, 3)), SPEC),
    "open size": ("m.h5", lambda path: built(keras, shape=(None, None, 3)).save(path), SPEC),
    "open size, Keras 3": ("m.keras", lambda path: built(keras3, shape=(None, None, 3)).save(path), SPEC),
    "open size, SavedModel": ("m", lambda path: signed(path, shape=(None, None, None, 3)), SPEC),
    "all open, SavedModel": ("m", lambda path: signed(path, shape=(None, None, None, None)), SPEC),
    "uint8": ("m.keras", lambda path: built(keras, dtype="uint8").save(path), RAW),
    "uint8, Keras 3": ("m.keras", lambda path: built(keras3, dtype="uint8").save(path), RAW),
    "uint8, SavedModel": ("m", lambda path: signed(path, dtype=tf.uint8), RAW),
    "float64, SavedModel": ("m", lambda path: signed(path, dtype=tf.float64), SPEC),
    "one sigmoid without bias": ("m.keras", lambda path: built(keras, "sigmoid", units=1, bias=False).save(path), TWO),
    "one logit without bias": (
        "m.h5", lambda path: built(keras, None, units=1, bias=False).save(path), replace(TWO, output="logits"),
    ),
    "another signature": ("m", lambda path: signed(path, name="predict"), SPEC),
    "two signatures": ("m", lambda path: signed(path, more="features"), SPEC),
    "no signature": ("m", lambda path: signed(path, call=True), SPEC),
    "two outputs": ("m.keras", lambda path: built(keras, second=True, units=2).save(path), TWO),
    "two outputs, SavedModel": (
        "m", lambda path: signed(path, outputs=lambda scores, image: {"a": image, "b": scores}), SPEC,
    ),
    "mixed_float16": ("m.keras", lambda path: mixed(keras).save(path), SPEC),
    "mixed_float16, .h5": ("m.h5", lambda path: mixed(keras).save(path), SPEC),
    "mixed_float16, SavedModel": ("m", lambda path: mixed(keras).save(path, save_format="tf"), SPEC),
    "mixed_float16, Keras 3": ("m.keras", lambda path: mixed(keras3).save(path), SPEC),
    "augmentation": ("m.keras", lambda path: augmented(keras).save(path), SPEC),
    "augmentation, Keras 3": ("m.keras", lambda path: augmented(keras3).save(path), SPEC),
    "augmentation, Keras 3, .h5": ("m.h5", lambda path: augmented(keras3).save(path), SPEC),
    "subclassed, SavedModel": ("m", lambda path: subclassed(keras).save(path, save_format="tf"), SPEC),
    "softmax, reshape": (
        "m.keras",
        lambda path: ended(lambda scores: keras.layers.Reshape((1, 1, 3))(scores)).save(path),
        SPEC,
    ),
    "average of softmaxes": (
        "m.keras",
        lambda path: ended(lambda scores: keras.layers.Average()([scores, scores])).save(path),
        SPEC,
    ),
    "logits": ("m.keras", lambda path: built(keras, None).save(path), LOGITS),
    "logits, Keras 3": ("m.keras", lambda path: built(keras3, None).save(path), LOGITS),
}  # fmt: skip


def run_of(photos: list[Picture], spec: ModelSpec) -> Run:
    known = [picture for picture in photos if len(spec.labels) == 3 or picture.label != 1]
    return Run(
        Path(), spec, {}, known, [replace(picture, label=min(picture.label, len(spec.labels) - 1)) for picture in known]
    )


# One of each idea; the others are the same in another format, two or three seconds each.
ORDINARY = (
    "fixed batch, SavedModel", "open size", "uint8, SavedModel", "one sigmoid without bias", "no signature",
    "two outputs, SavedModel", "mixed_float16", "augmentation, Keras 3", "softmax, reshape",
)  # fmt: skip


@pytest.mark.parametrize("kind", WORKS if os.environ.get("FROSTLITE_SLOW") else ORDINARY)
def test_it_answers_as_the_original(kind: str, photos: list[Picture], tmp_path: Path) -> None:
    """By hand: the softmax of six times the mean colour. Keras model and float TFLite file give it."""
    name, write, spec = WORKS[kind]
    with quiet():
        write(tmp_path / name)
    run = run_of(photos, spec)
    model = load_model(tmp_path / name, spec)
    assert model.input_shape == (None, SIDE, SIDE, 3)
    check_outputs(model, run, tmp_path / name)
    whole, done = as_probabilities(model, spec)
    wide = widen(whole)
    frames = [read_picture(picture.path) for picture in run.validation[::7]]
    colours = np.stack([frame[:, :, ::-1].mean((0, 1)) / 127.5 - 1 for frame in frames]) @ KERNEL
    powers = np.exp(colours if len(spec.labels) == 3 else colours[:, ::2])
    expected = powers / powers.sum(1, keepdims=True)
    tensors = np.concatenate([prepare(frame, done) for frame in frames])
    assert np.asarray(wide(tensors, training=False)) == pytest.approx(expected, abs=1e-3)
    interpreter = Interpreter(converted(wide), 1)
    found = np.concatenate([interpreter.invoke(tensor[None]).copy() for tensor in tensors])
    assert found == pytest.approx(expected, abs=1e-3)


REFUSED: dict[str, tuple[str, Callable[[Path], object], ModelSpec, str]] = {
    "logits": ("m.keras", lambda path: built(keras, None).save(path), SPEC, 'put "output": "logits"'),
    "one logit": ("m.keras", lambda path: built(keras, None, units=1).save(path), TWO, 'put "output": "logits"'),
    "no logits": ("m.keras", lambda path: built(keras).save(path), LOGITS, 'take "output" out'),
    "one softmax": ("m.keras", lambda path: built(keras, "softmax", units=1).save(path), TWO, "one sigmoid"),
    "one tanh": ("m.keras", lambda path: built(keras, "tanh", units=1).save(path), TWO, "tanh.*one sigmoid"),
    "one tanh, Keras 3": ("m.keras", lambda path: built(keras3, "tanh", units=1).save(path), TWO, "tanh.*one sigmoid"),
    "one tanh as logit": (
        "m.keras", lambda path: built(keras, "tanh", units=1).save(path), replace(TWO, output="logits"), "tanh",
    ),
    "relu": ("m.keras", lambda path: built(keras, "relu").save(path), SPEC, "relu.*a softmax"),
    "sigmoids": ("m.keras", lambda path: built(keras, "sigmoid").save(path), SPEC, "3 sigmoids"),
    "sigmoids, SavedModel": ("m", lambda path: built(keras3, "sigmoid").export(path, verbose=False), SPEC, "3 sigm"),
    "augmentation, exported": (
        "m", lambda path: augmented(keras3).export(path, verbose=False), SPEC, "training=False",
    ),
    "other size": ("m.keras", lambda path: built(keras, shape=(8, 8, 3)).save(path), SPEC, "by its contract"),
    "channels first": ("m.keras", lambda path: built(keras, shape=(3, SIDE, SIDE)).save(path), SPEC, "by its contract"),
    "other size, SavedModel": ("m", lambda path: signed(path, shape=(None, 8, 8, 3)), SPEC, "by its contract"),
    "batch of four": ("m", lambda path: signed(path, shape=(4, SIDE, SIDE, 3)), SPEC, "batch of 4"),
    "bytes": ("m", bytes_in, SPEC, "the bytes of picture files"),
    "two other signatures": ("m", lambda path: signed(path, name="a", more="b"), SPEC, "found a, b"),
    "two outputs alike": (
        "m", lambda path: signed(path, outputs=lambda scores, image: {"a": scores, "b": scores}), SPEC, "3 scores",
    ),
    "mixed_float16, exported": ("m", lambda path: mixed(keras3).export(path, verbose=False), SPEC, "float16"),
    "ONNX": ("m.onnx", lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch"), SPEC, "an ONNX model.*onnx2tf"),
    "PyTorch": ("m.pt", lambda path: zipped(path, "m/data.pkl"), SPEC, "a PyTorch model"),
    "pickle": ("m.h5", lambda path: path.write_bytes(b"\x80\x02}q"), SPEC, "a pickle"),
    "page": ("m.h5", lambda path: path.write_text("<!DOCTYPE html><html>"), SPEC, "a web page"),
    "pointer": ("m.h5", lambda path: path.write_text("version https://git-lfs.github.com/"), SPEC, "git lfs pull"),
    "empty": ("m.keras", lambda path: path.write_bytes(b""), SPEC, "an empty file"),
    "damaged": ("m.h5", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), SPEC, "Keras model"),
}  # fmt: skip


def zipped(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_work_is_one_line(kind: str, photos: list[Picture], tmp_path: Path) -> None:
    name, write, spec, message = REFUSED[kind]
    with quiet():
        write(tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        check_outputs(load_model(tmp_path / name, spec), run_of(photos, spec), tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1
    assert str(tmp_path / name) in str(caught.value)
    assert len(str(caught.value)) < 700
