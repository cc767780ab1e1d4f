"""A model that was trained elsewhere, as a run: so that the proof and the choice are there for any of them."""

import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from convert.given import Given, hold_to_contract, in_keras
from convert.lite import is_lite, load_lite, spec_of_lite
from convert.load import in_archive, is_archive, load_model
from convert.trace import Trace, trace
from edge.errors import UserError
from edge.model.contract import ModelSpec
from edge.model.labels import read_labels
from edge.model.units import pixel_units
from edge.quiet import quiet
from train.dataset import load_dataset
from train.keras import apart, keras, layers
from train.rundir import Run


def own_run(model: Path, data: Path, spec_file: Path | None, out: Path | None) -> Run:
    """A run made of a folder of photos and a contract (`spec.json`: at least labels, size, mean and std).

    An archive of Teachable Machine says itself what a contract says, as a `.tflite` file may; its run goes beside it.

    Raises:
        UserError: if the contract cannot be read or names other labels than the folder has.
    """
    if spec_file is None:
        spec = kind_of(model).spec(model)
    else:
        try:
            spec = ModelSpec.from_json(spec_file.read_bytes())
            notes: list[str] = []
            mean, std = pixel_units(spec.mean, spec.std, notes)
            spec = replace(spec, mean=mean, std=std)
        except OSError as error:
            raise UserError(f"--spec: {spec_file}: expected a JSON file, found {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"--spec: {spec_file}: {error}") from error
        for note in notes:
            print(f"note: {spec_file}: {note}", file=sys.stderr)
    dataset = load_dataset(data)
    if set(spec.labels) != set(dataset.labels):
        where = "--spec" if spec_file else model
        raise UserError(f"{where}: expected the labels {', '.join(dataset.labels)}, found {', '.join(spec.labels)}")
    place = [spec.labels.index(label) for label in dataset.labels]
    train, validation = (
        [replace(picture, label=place[picture.label]) for picture in split]
        for split in (dataset.train, dataset.validation)
    )
    return Run(out or model.with_suffix(""), spec, {}, train, validation)


def _spec_of_archive(path: Path) -> ModelSpec:
    if not is_archive(path):
        raise UserError(f"{path}: a model that was trained elsewhere takes --spec FILE and --out DIR too")
    model, files, known = in_archive(path)
    if not known:
        raise UserError(f"{path}: it is not of Teachable Machine: give --spec FILE and --out DIR too")
    try:
        labels, _ = read_labels(files["labels.txt"])
        with tempfile.NamedTemporaryFile(suffix=".h5") as part:
            part.write(model)
            part.flush()
            with h5py.File(part.name) as file:
                config = str(file.attrs["model_config"])
        height, width = re.search(r'"batch_input_shape": \[null, (\d+), (\d+), 3\]', config).groups()  # type: ignore[union-attr]
        known = {"mean": known["mean"] * 3, "std": known["std"] * 3, "resize": known["resize"]}
        return ModelSpec(tuple(labels), (int(height), int(width)), **known, backbone="Teachable Machine")
    except (ValueError, AttributeError, KeyError, OSError) as error:
        raise UserError(f"{path}: expected what Teachable Machine exports, found: {error}") from error


def load_keras(path: Path, run: Run) -> tuple[Given, ModelSpec]:
    """The Keras model, held to the contract of the run; and a contract that says what it gives now.

    Raises:
        UserError: if it cannot be read, or its input or output is another one.
    """
    model = load_model(path, run.spec)
    expected = (None, *run.spec.size, 3)
    if model.input_shape != expected:
        raise UserError(f"{path}: by its contract its input is {expected}, found {model.input_shape}")
    outputs, labels = model.output_shape, len(run.spec.labels)
    if outputs[1:] not in ((labels,), (1,) if labels == 2 else (labels,)):
        raise UserError(f"{path}: by its contract it gives one value for each of {labels} labels, found {outputs}")
    if not run.metrics:  # trained elsewhere
        check_outputs(model, run, path)
    model, spec = as_probabilities(model, run.spec)
    return in_keras(model), spec


def check_outputs(model: keras.Model, run: Run, path: Path) -> None:
    """Look at the graph, and at the outputs for some pictures of each label: whether they are what the contract says.

    Raises:
        UserError: if they are not, or the model answers at random.
    """
    try:
        with quiet():
            graph = trace(model)
        _same_each_time(graph)
        hold_to_contract(lambda tensors: np.asarray(model(tensors, training=False)), graph.operation, run)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _same_each_time(graph: Trace) -> None:
    if graph.random:
        raise ValueError(
            f"it draws random numbers for each picture ({graph.random}): its export left augmentation or dropout "
            "switched on; export it with training=False"
        )
    if graph.training:
        raise ValueError("its BatchNormalization takes the mean of each batch: export it with training=False")
    if graph.half:
        raise ValueError(f"it computes in {graph.half}: load its weights into a float32 model, and export that")


def as_probabilities(model: keras.Model, spec: ModelSpec) -> tuple[keras.Model, ModelSpec]:
    """A model that gives logits gets what makes probabilities of them, and a contract that says so."""
    if spec.output == "probabilities":
        return model, spec
    calm = layers.Rescaling(1 / spec.temperature, name=apart("temperature", model))
    logits = calm(model.output) if spec.temperature != 1 else model.output
    kind = "sigmoid" if model.output_shape[-1] == 1 else "softmax"
    scores = layers.Activation(kind, name=apart("probabilities", model))(logits)
    return keras.Model(model.input, scores, name=model.name), replace(spec, output="probabilities")


@dataclass(frozen=True)
class Kind:
    """One entry of the table of what can be converted.

    Attributes:
        fits: whether a path is of this kind.
        spec: the contract of one that comes with none.
        load: the classifier, and the contract of what it gives, which may differ from that of the run.
    """

    fits: Callable[[Path], bool]
    spec: Callable[[Path], ModelSpec]
    load: Callable[[Path, Run], tuple[Given, ModelSpec]]


KINDS = Kind(is_lite, spec_of_lite, load_lite), Kind(lambda path: True, _spec_of_archive, load_keras)


def kind_of(path: Path) -> Kind:
    return next(kind for kind in KINDS if kind.fits(path))
