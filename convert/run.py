"""Runs a graph in this process, one runtime a core: for choices on training pictures, not for the proof."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np

from convert.graph import Graph
from edge.model.contract import ModelSpec
from edge.model.interpreter import Interpreter
from edge.model.preprocess import TensorType, prepare
from edge.pictures import read_picture
from train.dataset import Picture


def image_type(graph: Graph) -> TensorType:
    """How a picture goes into a graph."""
    (image,) = graph.part.inputs
    scale, zero_point = graph.quantization(image)
    return TensorType(np.dtype(graph.dtype(image)).name, float(scale[0]) if len(scale) else 0.0, zero_point)


def scores(graph: bytes, pictures: Sequence[Picture], spec: ModelSpec) -> np.ndarray:
    """What the graph says of each picture, float32 (pictures, labels)."""
    workers = os.cpu_count() or 1
    free: SimpleQueue[Interpreter] = SimpleQueue()
    for _ in range(workers):
        free.put(Interpreter(graph, threads=1))

    def one(picture: Picture) -> np.ndarray:
        interpreter = free.get()
        try:
            return interpreter.invoke(prepare(read_picture(picture.path), spec, interpreter.input))[0]
        finally:
            free.put(interpreter)

    with ThreadPoolExecutor(workers) as pool:
        return np.stack(list(pool.map(one, pictures)))
