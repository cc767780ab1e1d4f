"""Keras models in every format that Keras has written, as one that takes float32 pictures and gives a row for each."""

import math
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from edge.errors import UserError
from edge.model.archive import unpack
from edge.model.contract import MAX_MODEL_BYTES, ModelSpec
from edge.model.mistaken import mistaken
from edge.quiet import quiet
from train.keras import apart, keras, layers, tf

_KERAS = (".h5", ".keras")
_HALF = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def load_model(path: Path, spec: ModelSpec) -> keras.Model:
    """Load a Keras model, `.keras` (of Keras 2 or 3), `.h5`, a SavedModel or a zip with one, so that it fits.

    It takes float32 (any, *spec.size, 3) and gives one row of outputs for each picture, in float32 arithmetic. A model
    of Keras 3 and a bare SavedModel come back as one opaque layer: they convert as any other, but training-time schemes
    cannot see into them.

    Raises:
        UserError: if it is none of these, or does not fit.
    """
    if not path.exists():
        raise UserError(f"{path}: expected a Keras model, found nothing")
    if is_archive(path):
        with tempfile.TemporaryDirectory() as folder:
            inner = Path(folder) / "keras_model.h5"
            inner.write_bytes(in_archive(path)[0])
            return load_model(inner, spec)
    try:
        with quiet():
            return _one_output(_loaded(path, spec), spec)
    except Exception as error:  # a damaged model may fail in any way
        if path.is_file() and not (h5py.is_hdf5(path) or (path.suffix == ".keras" and zipfile.is_zipfile(path))):
            told = mistaken(path, path.read_bytes())
            raise UserError(f"{path}: expected a Keras model (.keras, .h5 or a SavedModel), found {told}") from error
        raise UserError(f"{path}: expected a Keras model (.keras, .h5 or a SavedModel): {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """What matters of an error of a library, in a line: of the many lines of a converter the one with the reason."""
    text = str(error)
    if inner := re.search(
        r"Exception encountered when calling.*ValueError: (.+?)\s*(Call arguments received|\Z)", text, re.S
    ):
        text = inner[1]
    reason = re.search(r"error: (.+)", text)
    return (
        " ".join((reason[1] if reason and len(text.splitlines()) > 3 else text).split())[:300] or type(error).__name__
    )


def _loaded(path: Path, spec: ModelSpec) -> keras.Model:
    if (path / "saved_model.pb").is_file() and not (path / "keras_metadata.pb").is_file():
        return _opaque(path, spec)
    try:
        model = keras.models.load_model(path, compile=False)
    except (TypeError, ValueError, ImportError, AttributeError):
        if path.is_dir():
            return _opaque(path, spec)
        if not (zipfile.is_zipfile(path) or h5py.is_hdf5(path)):
            raise
        return _keras3(path, spec)
    if not model.inputs and path.is_dir():  # a class of its own, whose layers hang together in code alone
        return _opaque(path, spec)
    return _plain(model, spec)


def _plain(model: Any, spec: ModelSpec) -> Any:
    """A model of either Keras, built anew where its size is open, its batch fixed, or its arithmetic not float32."""
    shapes = model.input_shape if isinstance(model.input_shape, list) else [model.input_shape]
    if len(shapes) != 1:
        raise ValueError(f"expected one input, a picture, found {len(shapes)}: {shapes}")
    wanted = (None, *spec.size, 3)
    if not (
        len(shapes[0]) == 4 and all(side in (None, want) for side, want in zip(shapes[0][1:], wanted[1:], strict=True))
    ):
        raise ValueError(f"by its contract its input is {wanted}, found {shapes[0]}")
    half = any(
        getattr(layer, "compute_dtype", "float32") in _HALF for layer in model._flatten_layers(include_self=False)
    )
    inputs = model.inputs or []
    kind = getattr(inputs[0].dtype, "name", inputs[0].dtype) if inputs else "float32"
    if shapes[0] == wanted and kind == "float32" and not half:
        return model
    config = _float32(model.get_config())
    first = next(
        layer
        for layer in config["layers"]
        if "batch_input_shape" in layer["config"] or "batch_shape" in layer["config"]
    )
    for key in ("batch_input_shape", "batch_shape"):
        if key in first["config"]:
            first["config"][key] = wanted
    if first["class_name"] == "InputLayer":
        first["config"]["dtype"] = "float32"
    anew = type(model).from_config(config)
    anew.set_weights(
        [np.asarray(weight, np.float32) if weight.dtype.kind == "f" else weight for weight in model.get_weights()]
    )
    return anew


def _float32(config: Any) -> Any:
    """A configuration of layers with the policy of float32 in all of it."""
    if isinstance(config, dict):
        if config.get("class_name") in ("Policy", "DTypePolicy") and config.get("config", {}).get("name") in _HALF:
            return "float32"
        return {
            key: "float32" if key == "dtype" and value in _HALF else _float32(value)
            for key, value in config.items()
            if key not in ("build_config", "build_input_shape")
        }
    return [_float32(each) for each in config] if isinstance(config, list | tuple) else config


def _one_output(model: keras.Model, spec: ModelSpec) -> keras.Model:
    """The model with the one of its outputs that fits the labels, one row a picture."""
    outputs = model.outputs
    if len(outputs) > 1:
        fitting = [each for each in outputs if _units(each.shape) == len(spec.labels)]
        if len(fitting) != 1:
            shapes = ", ".join(str(tuple(each.shape)) for each in outputs)
            raise ValueError(f"expected one output with {len(spec.labels)} scores, found {len(outputs)}: {shapes}")
        model = keras.Model(model.input, fitting[0], name=model.name)
    if len(model.output_shape) > 2 and _units(model.output_shape) in (1, len(spec.labels)):
        return keras.Model(model.input, layers.Flatten(name=apart("row", model))(model.output), name=model.name)
    return model


def _units(shape: Any) -> int:
    return math.prod(int(side or 0) for side in tuple(shape)[1:])


def is_archive(path: Path) -> bool:
    """Whether a file is a zip with a model in it, and not one of those models that are zips themselves."""
    if not (path.is_file() and zipfile.is_zipfile(path)):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.lower().endswith((*_KERAS, ".tflite")) for name in archive.namelist()) and not (
            {"model.weights.h5", "config.json"} & set(archive.namelist())
        )


def in_archive(path: Path) -> tuple[bytes, dict[str, bytes], dict[str, Any]]:
    """The Keras model in a zip, the files beside it, and what is known of its preprocessing."""
    try:
        found = unpack(path.read_bytes(), _KERAS, MAX_MODEL_BYTES)
    except Exception as error:  # zipfile raises many kinds
        raise UserError(f"{path}: expected a zip with one Keras model, found: {error}") from error
    if found is None:
        raise UserError(
            f"{path}: expected a Keras model in it (Teachable Machine: Export, Tensorflow, Keras), found none"
        )
    return found[1:]


def _keras3(path: Path, spec: ModelSpec) -> keras.Model:
    """A model of Keras 3, exported as it answers: its own export would leave augmentation switched on."""
    import keras as keras3

    model: Any = _plain(keras3.saving.load_model(path, compile=False), spec)
    archive = keras3.export.ExportArchive()
    archive.track(model)
    taken = [tf.TensorSpec((None, *spec.size, 3), tf.float32, name="image")]
    archive.add_endpoint("serve", lambda image: model(image, training=False), input_signature=taken)
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        return _opaque(Path(folder), spec)


def _opaque(folder: Path, spec: ModelSpec) -> keras.Model:
    layer = _SavedModel(folder, spec)
    image = keras.Input((*spec.size, 3), name="image")
    return keras.Model(image, layer(image), name="own")


class _SavedModel(layers.Layer):
    """A function of a SavedModel as a layer: one picture or many in, whatever batch and type it takes itself."""

    def __init__(self, folder: Path, spec: ModelSpec) -> None:
        super().__init__()
        self.loaded = tf.saved_model.load(str(folder))  # its variables live as long as this does
        self.serve, self.taken = _function(self.loaded)
        self.labels = len(spec.labels)
        if self.taken.dtype == tf.string:
            raise ValueError(
                "it takes the bytes of picture files: export it with a float32 input (any, height, width, 3)"
            )
        shape, wanted = tuple(self.taken.shape), (*spec.size, 3)
        if len(shape) != 4 or any(side not in (None, want) for side, want in zip(shape[1:], wanted, strict=True)):
            raise ValueError(f"by its contract its input is {(None, *wanted)}, found {shape}")

        if shape[0] not in (None, 1):
            raise ValueError(f"it takes a batch of {shape[0]}: export it with a batch of one, or of any number")

    def call(self, image: tf.Tensor) -> tf.Tensor:
        if self.taken.shape[0] is None or image.shape[0] == 1:
            return self._one(image)
        rows = tf.map_fn(lambda each: tf.reshape(self._one(each[None]), (-1,)), image, fn_output_signature=tf.float32)
        return tf.ensure_shape(rows, (None, self._one(tf.zeros((1, *image.shape[1:]))).shape.num_elements()))

    def _one(self, image: tf.Tensor) -> tf.Tensor:
        kind = self.taken.dtype
        given = tf.nest.flatten(self.serve(tf.cast(image if kind.is_floating else tf.round(image), kind)))
        if len(given) > 1:
            given = [each for each in given if _units(each.shape) == self.labels]
            if len(given) != 1:
                raise ValueError(f"expected one output with {self.labels} scores, found several, of which not one fits")
        return tf.cast(given[0], tf.float32)


def _function(loaded: Any) -> tuple[Callable[[tf.Tensor], Any], tf.TensorSpec]:
    """What to call of a SavedModel, and what it takes: its signature, or without one, what it does when called."""
    signatures = {name: each for name, each in loaded.signatures.items() if not name.startswith("__")}
    name = "serving_default" if "serving_default" in signatures else next(iter(signatures), None)
    if len(signatures) > 1 and name != "serving_default":
        raise ValueError(f"expected the signature serving_default, or one, found {', '.join(signatures)}")
    if name is not None:
        serve = signatures[name]
        taken = dict(serve.structured_input_signature[1])
        if len(taken) != 1:
            raise ValueError(f"expected one input, a picture, found {', '.join(taken)} in the signature {name}")
        ((argument, kind),) = taken.items()
        return lambda image: serve(**{argument: image}), kind
    for function in (getattr(loaded, "__call__", None), getattr(loaded, "serve", None)):  # noqa: B004 - a function of TensorFlow
        for concrete in getattr(function, "concrete_functions", []):
            arguments = tf.nest.flatten(concrete.structured_input_signature)
            kinds = [each for each in arguments if isinstance(each, tf.TensorSpec)]
            if len(kinds) == 1 and kinds[0].shape.rank == 4 and True not in arguments:
                return lambda image, concrete=concrete: concrete(image), kinds[0]
    raise ValueError(
        "expected a signature in the SavedModel, found none: save it with tf.saved_model.save(…, signatures=…)"
    )
