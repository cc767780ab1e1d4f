"""From a Keras model to the bytes of one `.tflite` file that carries its contract."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convert.calibrate import samples
from convert.metadata import add_metadata
from convert.schemes import SCHEMES
from edge.contract import ModelSpec, append_files
from edge.quiet import quiet
from train.dataset import Picture
from train.keras import keras, layers, lite_converter


def export(model: keras.Model, spec: ModelSpec, scheme: str, calibration: Sequence[Picture]) -> bytes:
    """Convert by a scheme of the table: the whole file, with standard metadata and contract in it.

    Args:
        model: a finished classifier with one output per label, or one sigmoid for two labels.
        spec: its contract.
        calibration: training pictures for the representative data set.
    """
    converter = lite_converter(widen(model))
    SCHEMES[scheme].configure(converter, lambda: samples(calibration, spec))
    with quiet():
        graph = converter.convert()
    spec = replace(spec, scheme=scheme)
    graph = add_metadata(graph, spec)
    return append_files(graph, replace(spec, graph_sha256=hashlib.sha256(graph).hexdigest()))


def widen(model: keras.Model) -> keras.Model:
    """Give a model with one sigmoid p two outputs, [1 - p, p]; any other comes back as it is.

    softmax([0, z]) = [1 - sigmoid(z), sigmoid(z)], so a logits layer with a first column of zeros does it.
    """
    if model.output_shape[-1] != 1:
        return model
    logits = model.get_layer("logits")
    wide = layers.Dense(2, name="logits")
    outputs = layers.Activation("softmax", name="scores")(wide(logits.input))
    kernel, bias = logits.get_weights()
    wide.set_weights([np.hstack([np.zeros_like(kernel), kernel]), np.concatenate([np.zeros_like(bias), bias])])
    return keras.Model(model.input, outputs)
