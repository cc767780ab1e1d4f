"""What a coat or a shirt is patterned with."""

from collections.abc import Callable

import cv2
import numpy as np

from train.sample.chance import Rng, noise
from train.sample.space import Array

TEXELS, TILE = 256, 512  # of a pattern: a metre, and where it repeats (a power of two)


def _spots(rng: Rng) -> Array:
    tile = np.zeros((TILE, TILE), np.float32)
    for x, y, r in np.column_stack([rng.integers(0, TILE, (110, 2)), rng.integers(4, 12, 110)]).tolist():
        cv2.circle(tile, (x, y), r, (1.0,), -1, cv2.LINE_AA)
    return tile


def _bands(count: int) -> Array:
    return (np.sin(np.arange(TILE) * (2 * np.pi * count / TILE)) > 0.1).astype(np.float32)


PATTERNS: dict[str, Callable[[Rng], Array]] = {
    "plain": lambda rng: np.zeros((TILE, TILE), np.float32),
    "cloudy": lambda rng: 0.8 * noise(rng, TILE, TILE, 8),
    "dapple": lambda rng: np.clip(noise(rng, TILE, TILE, 22, 2) * 3 - 1.0, 0, 1),
    "patches": lambda rng: np.clip((noise(rng, TILE, TILE, 6, 2) - 0.5) * 16, 0, 1),
    "spots": _spots,
    "stripes": lambda rng: np.tile(_bands(int(rng.integers(18, 40)))[:, None], (1, TILE)),
    "checks": lambda rng: (_bands(22)[:, None] + _bands(22)) / 2,
}
