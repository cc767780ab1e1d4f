"""Runs a graph in this process, one runtime a core: for choices on training pictures, not for the proof."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np

from convert.graph import Graph
from edge.model.contract import ModelSpec
from edge.model.interpreter import Interpreter
from edge.model.preprocess import TensorType
from train.dataset import Picture
from train.measure import Answer, predict


def image_type(graph: Graph) -> TensorType:
    """How a picture goes into a graph."""
    (image,) = graph.part.inputs
    scale, zero_point = graph.quantization(image)
    return TensorType(np.dtype(graph.dtype(image)).name, float(scale[0]) if len(scale) else 0.0, zero_point)


def answer_of_graph(graph: bytes) -> Answer:
    """What a graph gives of tensors (pictures, height, width, 3) in the dtype of its input, float32."""
    workers = os.cpu_count() or 1
    free: SimpleQueue[Interpreter] = SimpleQueue()
    for _ in range(workers):
        free.put(Interpreter(graph, threads=1))

    def one(tensor: np.ndarray) -> np.ndarray:
        interpreter = free.get()
        try:
            return interpreter.invoke(tensor[np.newaxis])[0]
        finally:
            free.put(interpreter)

    def answer(tensors: np.ndarray) -> np.ndarray:
        with ThreadPoolExecutor(workers) as pool:
            return np.stack(list(pool.map(one, tensors)))

    return answer


def scores(graph: bytes, pictures: Sequence[Picture], spec: ModelSpec) -> np.ndarray:
    """What the graph says of each picture, float32 (pictures, labels)."""
    return predict(answer_of_graph(graph), spec, pictures, image_type(Graph(graph)))
