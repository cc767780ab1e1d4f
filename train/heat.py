"""Which places of a picture spoke for a wrong label, and which for the right one: the pictures under mistakes."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from edge.errors import UserError
from edge.model.classifier import Classifier
from edge.model.contract import ModelSpec, read_model
from edge.model.preprocess import FLOAT32, prepare
from edge.model.why import Depth, explains, heat_of, overlay
from edge.pictures import read_picture
from train.keras import keras, layers
from train.model import depths, logit_layers
from train.page import THUMBNAIL, inline

_BATCH = 8  # pictures at a time: one alone takes nearly as long

# A picture, the place of the label that was said, and of the right one.
Mistake = tuple[Path, int, int]


def heat_of_model(
    model: keras.Model, spec: ModelSpec, mistakes: Iterable[Mistake], side: int = THUMBNAIL
) -> dict[Path, str]:
    """Of each picture a grey copy for a page, warm where it speaks for the label that was said.

    Returns:
        Nothing for a head that is flattened or has hidden layers, nor for pictures that are gone.
    """
    pools, heads = depths(model), logit_layers(model)
    if len(pools) != len(heads) or not all(isinstance(pool, layers.GlobalAveragePooling2D) for pool in pools):
        return {}
    if any(pool.output.shape[-1] != head.kernel.shape[0] for pool, head in zip(pools, heads, strict=True)):
        return {}
    maps = keras.Model(model.input, [pool.input for pool in pools])
    linear = [Depth(head.name, *head.get_weights()) for head in heads]
    found = {}
    read = _read(mistakes)
    while batch := list(islice(read, _BATCH)):
        made = maps(np.concatenate([prepare(frame, spec, FLOAT32) for _, frame, _, _ in batch]), training=False)
        made = [each.numpy() for each in (made if isinstance(made, list) else [made])]
        for row, (path, frame, said, right) in enumerate(batch):
            heat = heat_of([each[row : row + 1] for each in made], linear, said, right, spec)
            found[path] = inline(overlay(frame, heat, spec), side)
    return found


def heat_of_file(
    model: Path, mistakes: Iterable[Mistake], runtime: str | None = None, side: int = THUMBNAIL
) -> dict[Path, str]:
    """The same of a `.tflite` file with a contract."""
    file, found = read_model(model), dict[Path, str]()
    if file.spec is None or file.spec.head or not explains(file.graph, len(file.spec.labels)):
        return found
    with Classifier(file, runtime=runtime, why=True) as classifier:
        for path, frame, said, right in _read(mistakes):
            classifier.classify(frame)
            found[path] = inline(overlay(frame, classifier.heat(said, right), classifier.spec), side)
    return found


def _read(mistakes: Iterable[Mistake]) -> Iterator[tuple[Path, np.ndarray, int, int]]:
    for path, said, right in mistakes:
        try:
            yield path, read_picture(path), said, right
        except UserError:  # gone since
            continue
