"""Runs a finished Keras model on pictures: the reference that everything later is compared with."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edge.model.contract import ModelSpec
from edge.model.preprocess import FLOAT32, TensorType, prepare
from edge.pictures import read_picture
from train.dataset import Picture
from train.fit import as_scores
from train.keras import keras, tf
from train.progress import progress

# Of tensors float32 (pictures, height, width, 3): outputs float32 (pictures, outputs).
Answer = Callable[[np.ndarray], np.ndarray]
_BATCH = 8  # larger ones are no faster on a CPU


def answer_of(model: keras.Model) -> Answer:
    """What a model gives in inference mode."""
    run = tf.function(lambda tensors: model(tensors, training=False), reduce_retracing=True)
    return lambda tensors: run(tensors).numpy()


def predict(answer: Answer, spec: ModelSpec, pictures: Sequence[Picture], kind: TensorType = FLOAT32) -> np.ndarray:
    """Scores of a whole model, float32 (pictures, labels)."""
    if not pictures:
        return np.empty((0, len(spec.labels)), np.float32)
    outputs = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress("measuring", len(pictures)) as bar:
        for start in range(0, len(pictures), _BATCH):
            batch = pictures[start : start + _BATCH]
            tensors = pool.map(lambda picture: prepare(read_picture(picture.path), spec, kind), batch)
            outputs.append(answer(np.concatenate(list(tensors))))
            bar.update(len(batch))
    return as_scores(np.concatenate(outputs))
