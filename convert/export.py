"""From a Keras model to the bytes of one `.tflite` file that carries its contract."""

import ctypes
import gc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convert.calibrate import samples
from convert.metadata import add_metadata
from convert.schemes import SCHEMES, Samples
from edge.model.contract import ModelSpec, append_files
from edge.quiet import quiet
from train.augment import Augmentation
from train.dataset import Picture
from train.keras import keras, layers, lite_converter, tf
from train.rundir import Run

# What a run without views of its own gets.
MIRROR = Augmentation(rotation=0, shift=0, shear=0, zoom=0, flip=0.5, light=0, colour=0, blur=0)


@dataclass(frozen=True)
class Job:
    """What all schemes work on.

    Attributes:
        model: a finished classifier with one output per label.
        spec: its contract.
        train: the training pictures: for training-time schemes, and to check a choice on.
        calibration: those of them (or frames of the real camera) that show the range of every activation.
        tolerance: the drop that is allowed, in percentage points.
        augmentation: that of the run, for training-time schemes.
    """

    model: keras.Model
    spec: ModelSpec
    train: Sequence[Picture]
    calibration: Sequence[Picture]
    tolerance: float
    augmentation: Augmentation = MIRROR

    def samples(self) -> Iterator[list[np.ndarray]]:
        return samples(self.calibration, self.spec)


def augmentation_of(run: Run) -> Augmentation:
    """That of the run's views, as its metrics tell it."""
    told = run.metrics.get("augment") or {}
    values = {name: value for name, value in told.items() if name != "views"}
    return Augmentation(**values) if values else MIRROR


def export(job: Job, name: str) -> tuple[bytes, dict[str, Any]]:
    """Convert by a scheme of the table: the whole file, with standard metadata and contract in it, and JSON notes."""
    scheme = SCHEMES[name]
    notes: dict[str, Any] = {}
    model = job.model
    if scheme.training:
        from convert.tune import tune

        model, notes["training"] = tune(job, scheme.training)
    if scheme.selective:
        from convert.selective import quantize_selectively

        graph, notes["float_layers"] = quantize_selectively(job, scheme.configure)
    else:
        graph = converted(model, scheme.configure, job.samples)
    return package(graph, replace(job.spec, scheme=name)), notes


def converted(
    model: keras.Model, configure: Callable[[tf.lite.TFLiteConverter, Samples], None], data: Samples
) -> bytes:
    """The graph that the converter makes of a model."""
    free_memory()
    converter = lite_converter(model)
    configure(converter, data)
    with quiet():
        return converter.convert()


def free_memory() -> None:
    """Give back what an earlier conversion left behind.

    It copies all weights several times, and some of the copies hang on cycles of objects: without this, a model of
    190 MB would take more than 10 GB.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def package(graph: bytes, spec: ModelSpec) -> bytes:
    """A `.tflite` file: the graph, the standard metadata in it, and the contract behind it."""
    graph = add_metadata(graph, spec)
    return append_files(graph, replace(spec, graph_sha256=hashlib.sha256(graph).hexdigest()))


def widen(model: keras.Model) -> keras.Model:
    """Give a model with one sigmoid p two outputs, [1 - p, p]; any other comes back as it is.

    softmax([0, z]) = [1 - sigmoid(z), sigmoid(z)], so a logits layer with a first column of zeros does it; of a model
    that does not show such a layer at its end, the output itself is widened.
    """
    if model.output_shape[-1] != 1:
        return model
    last = model.layers[-2:] if isinstance(model.layers[-1], layers.Activation) else model.layers[-1:]
    logits = last[0]
    if not isinstance(logits, layers.Dense):
        scores = layers.Concatenate()([1 - model.output, model.output])
        return keras.Model(model.input, scores, name=model.name)
    wide = layers.Dense(2, name=logits.name)
    outputs = layers.Activation("softmax", name=f"{logits.name}_softmax")(wide(logits.input))
    kernel, bias = logits.get_weights()
    wide.set_weights([np.hstack([np.zeros_like(kernel), kernel]), np.concatenate([np.zeros_like(bias), bias])])
    return keras.Model(model.input, outputs, name=model.name)
