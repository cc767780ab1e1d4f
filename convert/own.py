"""A model that was trained elsewhere, as a run: so that the proof and the choice are there for any Keras model."""

import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py

from edge.errors import UserError
from edge.model.contract import ModelSpec
from edge.quiet import quiet
from train.dataset import load_dataset
from train.keras import keras, layers, tf
from train.rundir import Run


def own_run(data: Path, spec_file: Path, out: Path) -> Run:
    """A run made of a folder of photos and a contract (`spec.json`: at least labels, size, mean and std).

    Raises:
        UserError: if the contract cannot be read or names other labels than the folder has.
    """
    try:
        spec = ModelSpec.from_json(spec_file.read_bytes())
    except OSError as error:
        raise UserError(f"--spec: {spec_file}: expected a JSON file, found {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"--spec: {spec_file}: {error}") from error
    dataset = load_dataset(data)
    if set(spec.labels) != set(dataset.labels):
        raise UserError(f"--spec: expected the labels {', '.join(dataset.labels)}, found {', '.join(spec.labels)}")
    place = [spec.labels.index(label) for label in dataset.labels]
    train, validation = (
        [type(picture)(picture.path, place[picture.label], picture.digest) for picture in split]
        for split in (dataset.train, dataset.validation)
    )
    return Run(out, spec, {}, train, validation)


def load_model(path: Path) -> keras.Model:
    """Load a Keras model: `.keras` (of Keras 2 or 3), `.h5`, or a SavedModel.

    A model of Keras 3 and a bare SavedModel come back as one opaque layer: they convert as any other, but
    training-time schemes cannot see into them.

    Raises:
        UserError: if it is none of these.
    """
    if not path.exists():
        raise UserError(f"{path}: expected a Keras model, found nothing")
    try:
        with quiet():
            if (path / "saved_model.pb").is_file() and not (path / "keras_metadata.pb").is_file():
                return _opaque(path)
            try:
                return keras.models.load_model(path, compile=False)
            except (TypeError, ValueError, ImportError):
                if not (zipfile.is_zipfile(path) or h5py.is_hdf5(path)):
                    raise
                return _keras3(path)
    except Exception as error:  # a damaged model may fail in any way
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{path}: expected a Keras model (.keras, .h5 or a SavedModel): {reason}") from error


def as_probabilities(model: keras.Model, spec: ModelSpec) -> tuple[keras.Model, ModelSpec]:
    """A model that gives logits gets what makes probabilities of them, and a contract that says so."""
    if spec.output == "probabilities":
        return model, spec
    logits = layers.Rescaling(1 / spec.temperature)(model.output) if spec.temperature != 1 else model.output
    kind = "sigmoid" if model.output_shape[-1] == 1 else "softmax"
    scores = layers.Activation(kind, name="probabilities")(logits)
    return keras.Model(model.input, scores, name=model.name), replace(spec, output="probabilities")


def _keras3(path: Path) -> keras.Model:
    import keras as keras3

    model: Any = keras3.saving.load_model(path, compile=False)
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        return _opaque(Path(folder))


def _opaque(folder: Path) -> keras.Model:
    layer = _SavedModel(folder)
    image = keras.Input(layer.shape[1:], name="image")
    return keras.Model(image, layer(image), name="own")


class _SavedModel(layers.Layer):
    """The serving function of a SavedModel, one tensor in and one out, as a layer."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.loaded = tf.saved_model.load(str(folder))  # its variables live as long as this does
        self.serve = self.loaded.signatures["serving_default"]
        ((self.argument, taken),) = self.serve.structured_input_signature[1].items()
        self.shape = tuple(taken.shape)

    def call(self, image: tf.Tensor) -> tf.Tensor:
        (output,) = self.serve(**{self.argument: image}).values()
        return output
