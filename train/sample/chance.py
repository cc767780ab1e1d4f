"""Seeded chance: a row of a table, fractal noise."""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np

from train.sample.space import Array

Rng = np.random.Generator
T = TypeVar("T")


def pick(rng: Rng, table: Sequence[T], odds: Sequence[float] | None = None) -> T:
    return table[int(rng.choice(len(table), p=None if odds is None else np.array(odds) / np.sum(odds)))]


def noise(rng: Rng, height: int, width: int, cells: float, octaves: int = 3, squash: float = 1.0) -> Array:
    """Fractal noise, (height, width) float32 in 0..1, with `cells` across, `squash` times flatter than wide."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        across = max(2, int(cells * 2**octave))
        grid = rng.random((max(2, int(across * squash * height / width)), across), np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 1.8**octave
    total -= total.min()
    return total / max(float(total.max()), 1e-6)
