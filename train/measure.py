"""Runs a finished Keras model on pictures: the reference that everything later is compared with."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edge.model.contract import ModelSpec
from edge.model.preprocess import prepare
from edge.pictures import read_picture
from train.dataset import Picture
from train.fit import as_scores
from train.keras import keras, tf
from train.progress import progress

_BATCH = 8  # larger ones are no faster on a CPU


def predict(model: keras.Model, spec: ModelSpec, pictures: Sequence[Picture]) -> np.ndarray:
    """Scores of the whole model in inference mode, float32 (pictures, labels)."""
    if not pictures:
        return np.empty((0, len(spec.labels)), np.float32)
    run = tf.function(lambda tensor: model(tensor, training=False), reduce_retracing=True)
    outputs = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress("measuring", len(pictures)) as bar:
        for start in range(0, len(pictures), _BATCH):
            batch = pictures[start : start + _BATCH]
            tensors = pool.map(lambda picture: prepare(read_picture(picture.path), spec), batch)
            outputs.append(run(np.concatenate(list(tensors))).numpy())
            bar.update(len(batch))
    return as_scores(np.concatenate(outputs))
