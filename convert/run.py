"""Runs a graph in this process, one runtime a core: for choices on training pictures, not for the proof."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np

from edge.model.contract import ModelSpec
from edge.model.interpreter import Interpreter
from edge.model.preprocess import prepare
from edge.pictures import read_picture
from train.dataset import Picture


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
