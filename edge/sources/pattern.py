"""A moving test pattern that carries its own time, so that the age of a result can be measured."""

import math
from functools import lru_cache

import cv2
import numpy as np

_BITS = 32  # of milliseconds, most significant first, as black and white blocks along the lower edge


@lru_cache(maxsize=2)
def _background(width: int, height: int) -> np.ndarray:
    across = np.linspace(0, 1, width, dtype=np.float32)[np.newaxis, :, np.newaxis]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, np.newaxis, np.newaxis]
    night, ice = np.array([70, 40, 24], np.float32), np.array([214, 190, 150], np.float32)
    return (night + (ice - night) * (0.35 * across + 0.65 * down)).astype(np.uint8)


def draw(width: int, height: int, seconds: float) -> np.ndarray:
    """The pattern at a time: a disc on its way round, the time in figures, and the same time as a strip of blocks.

    Args:
        width, height: in pixels; the strip can be read from 64 pixels up.
        seconds: by `time.monotonic()`.

    Returns:
        BGR uint8 (height, width, 3).
    """
    image = _background(width, height).copy()
    angle = seconds % 4 / 4 * 2 * math.pi
    radius = min(width, height) // 8
    centre = (
        round(width / 2 + (width / 2 - radius) * 0.8 * math.cos(angle)),
        round(height * (0.45 + 0.25 * math.sin(angle))),
    )
    cv2.circle(image, centre, radius, (250, 244, 235), cv2.FILLED, cv2.LINE_AA)
    scale = min(width, height) / 480
    cv2.putText(
        image, f"{seconds:.2f} s", (round(16 * scale), round(40 * scale)), cv2.FONT_HERSHEY_SIMPLEX, scale,
        (250, 244, 235), max(1, round(2 * scale)), cv2.LINE_AA,
    )  # fmt: skip
    milliseconds = int(seconds * 1000) % (1 << _BITS)
    bits = np.array([milliseconds >> (_BITS - 1 - bit) & 1 for bit in range(_BITS)], np.uint8) * 255
    strip = cv2.resize(bits[np.newaxis], (width, max(4, height // 24)), interpolation=cv2.INTER_NEAREST)
    image[height - strip.shape[0] :] = strip[:, :, np.newaxis]
    return image


def read_time(image: np.ndarray) -> float:
    """The seconds that `draw` put into a frame (height, width, 3), modulo 2^32 ms."""
    height, width = image.shape[:2]
    row = image[height - max(4, height // 24) // 2].mean(axis=1)
    places = ((np.arange(_BITS) + 0.5) * width / _BITS).astype(int)
    return int("".join("1" if row[place] > 127 else "0" for place in places), 2) / 1000
