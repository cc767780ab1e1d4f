"""A finished graph as a source of features: what its head takes, computed in LiteRT as a device does."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from convert.graph import Graph
from convert.head import features_of
from edge.model.contract import ModelSpec
from edge.model.interpreter import Interpreter
from edge.model.preprocess import lookup_table
from train.features import Engine, on_all_cores


def graph_engine(data: bytes, spec: ModelSpec) -> Engine:
    """The features that the head of a graph takes, one depth after the other, the last one last.

    Two graphs that differ in their heads alone share what was computed: the key is that of what leads to the features.

    Raises:
        ValueError: if no features can be told in the graph.
    """
    graph = Graph(data)
    names, _ = features_of(graph)
    if not names:
        raise ValueError("expected a graph whose head takes features, found none")
    numbers = {graph.name(number): number for number in range(len(graph.tensors))}
    taken = [numbers[name] for name in names]
    ends = np.cumsum([graph.tensors[tensor].shape[-1] for tensor in taken]).tolist()
    key = hashlib.sha256(graph.up_to(taken))
    key.update(repr((spec.size, spec.resize, spec.mean, spec.std)).encode())
    pixels = replace(spec, mean=(0.0,) * 3, std=(1.0,) * 3)

    def make() -> Callable[[np.ndarray], np.ndarray]:
        interpreter = Interpreter(data, threads=1, more=names)
        table = lookup_table(spec.mean, spec.std, interpreter.input)

        def features(tensor: np.ndarray) -> np.ndarray:
            frame = tensor[0].astype(np.uint8)
            interpreter.invoke((frame if table is None else cv2.LUT(frame, table))[np.newaxis])
            return np.concatenate([interpreter.read(name).ravel() for name in names])

        return features

    parts = tuple(slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False))
    return Engine(key.hexdigest()[:32], parts, lambda pictures: on_all_cores(make, pixels, pictures))
