"""What a model is fitted on: features that were computed once, or pictures that are drawn anew in every epoch."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge.model.contract import ModelSpec
from edge.model.preprocess import prepare
from train.augment import Augmentation, views
from train.dataset import Picture
from train.features import Features, let_go


class Source(Protocol):
    """Examples to fit on or to be measured on.

    Attributes:
        labels: int64 (examples,).
        shape, dtype: of one example's input; a model casts it to float32.
    """

    labels: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def load(self, index: np.ndarray, random: np.random.Generator | None) -> np.ndarray:
        """Inputs of the examples at `index`, (examples, *shape); `random` draws the views."""


@dataclass
class FeatureSource:
    """Cached features; `rows[i]` are those of the views of picture i, the plain one first: (pictures, views)."""

    features: Features
    labels: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.features.matrix.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self.features.matrix.dtype

    @property
    def views(self) -> int:
        """How many there are of each picture, the plain one among them."""
        return self.features.rows.size // max(1, len(self.labels))

    def view(self, number: int) -> np.ndarray:
        """The features of one view of every picture, 0 the plain one: float32 (pictures, features)."""
        rows = self.features.rows.reshape(len(self.labels), -1)[:, number]
        return np.asarray(self.features.matrix[rows], np.float32)

    def load(self, index: np.ndarray, random: np.random.Generator | None) -> np.ndarray:
        rows = self.features.rows.reshape(len(self.labels), -1)
        column = 0 if random is None else random.integers(0, rows.shape[1], len(index))
        found = np.asarray(self.features.matrix[rows[index, column]])
        let_go(self.features.matrix)
        return found


@dataclass
class PictureSource:
    """Pictures, decoded when they are needed; with an augmentation, a view that was never seen before each time."""

    pictures: Sequence[Picture]
    spec: ModelSpec
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        self.labels = np.array([picture.label for picture in self.pictures], np.int64)
        self._pool = ThreadPoolExecutor(os.cpu_count())

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.spec.size, 3)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    def load(self, index: np.ndarray, random: np.random.Generator | None) -> np.ndarray:
        chosen: Sequence[Picture] = [self.pictures[i] for i in index]
        if self.augmentation and random is not None:
            chosen = views(chosen, self.augmentation, [int(random.integers(1 << 62))])
        tensors = self._pool.map(lambda picture: prepare(picture.frame(self.spec), self.spec), chosen)
        return np.concatenate(list(tensors))
