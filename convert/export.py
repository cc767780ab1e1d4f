"""From a Keras model to the bytes of one `.tflite` file that carries its contract."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from convert.graph import Graph
from convert.head import features_of, linear
from convert.int8_head import solve_again
from convert.job import Job
from convert.metadata import add_metadata
from convert.quantize import quantize
from convert.schemes import SCHEMES
from convert.selective import quantize_selectively
from edge.model.contract import ModelSpec, append_files
from train.keras import apart, keras, layers
from train.model import parents


def export(job: Job, name: str) -> tuple[bytes, dict[str, Any]]:
    """Convert by a scheme of the table: the whole file, with standard metadata and contract in it, and JSON notes."""
    scheme = SCHEMES[name]
    notes: dict[str, Any] = {}
    if scheme.training:
        from convert.tune import tune  # tensorflow-model-optimization takes seconds to load

        model, notes["training"] = tune(job, scheme.training)
        job = replace(job, model=model)
    if scheme.selective:
        graph, notes["float_layers"] = quantize_selectively(job)
    elif scheme.recipe:
        seen = None if scheme.recipe == "float16" else job.seen
        graph = quantize(job.graph, scheme.recipe, job.spec, seen)
        if scheme.recipe == "int8" and job.solved and linear(Graph(job.graph)):
            again, spec, notes["head"] = solve_again(job.graph, graph, job.solved, job.spec)
            graph, job = quantize(again, scheme.recipe, spec, seen), replace(job, spec=spec)
    else:
        graph = job.graph
    return package(graph, replace(job.spec, scheme=name)), notes


def package(graph: bytes, spec: ModelSpec, more: Mapping[str, bytes] | None = None) -> bytes:
    """A `.tflite` file: the graph, the standard metadata in it, and the contract and more files behind it."""
    if not spec.features:
        features, feature_map = features_of(Graph(graph))
        spec = replace(spec, features=features, feature_map=feature_map)
    graph = add_metadata(graph, spec)
    return append_files(graph, replace(spec, graph_sha256=hashlib.sha256(graph).hexdigest()), more)


def widen(model: keras.Model) -> keras.Model:
    """Give a model with one sigmoid p two outputs, [1 - p, p]; any other comes back as it is.

    softmax([0, z]) = [1 - sigmoid(z), sigmoid(z)], so logits with a first column of zeros do it, be they those of one
    Dense layer or the sum of those of several; of a model that does not show such layers at its end, the output itself
    is widened.
    """
    if model.output_shape[-1] != 1:
        return model
    last = model.layers[-2:] if isinstance(model.layers[-1], layers.Activation) else model.layers[-1:]
    logits = last[0]
    plain = keras.activations.get("linear" if len(last) == 2 else "sigmoid")
    several = isinstance(logits, layers.Add) and len(last) == 2
    dense = parents(logits) if several else [logits]
    if not all(isinstance(each, layers.Dense) and each.activation is plain for each in dense):
        rest = layers.Rescaling(-1.0, 1.0, name=apart("rest", model))(model.output)
        scores = layers.Concatenate(name=apart("both", model))([rest, model.output])
        return keras.Model(model.input, scores, name=model.name)
    wide = [_beside_zeros(each) for each in dense]
    total = layers.Add(name=logits.name)(wide) if several else wide[0]
    outputs = layers.Activation("softmax", name=apart(f"{logits.name}_softmax", model))(total)
    return keras.Model(model.input, outputs, name=model.name)


def _beside_zeros(dense: keras.layers.Layer) -> Any:
    """What a Dense layer of one unit gives, beside zeros."""
    wide = layers.Dense(2, name=dense.name)
    logits = wide(dense.input)
    kernel, *bias = dense.get_weights()  # without a bias: as with one of zero
    wide.set_weights(
        [np.hstack([np.zeros_like(kernel), kernel]), np.concatenate([np.zeros(1), *(bias or [np.zeros(1)])])]
    )
    return logits
