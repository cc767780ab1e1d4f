"""What a picture is like before any model looks at it: size, light, sharpness, camera, the colour of its border."""

from typing import NamedTuple

import cv2
import numpy as np

_SIDE = 256  # pixels of the longer side that light and sharpness are measured at: blur that a model cannot see is none
_WHITE = 250


class Look(NamedTuple):
    """Numbers about one picture.

    Attributes:
        width, height: in pixels, upright.
        brightness: the mean grey, 0 to 255.
        white: the share of pixels from 250 up, 0 to 1.
        sharpness: the logarithm of the variance of the Laplacian over that of the picture.
        border: mean blue, green and red of the outer eighth, and the deviation of its grey.
        camera: its model by the EXIF data; "" if there is none.
    """

    width: int
    height: int
    brightness: float
    white: float
    sharpness: float
    border: tuple[float, float, float, float]
    camera: str


def measure(frame: np.ndarray, camera: str) -> Look:
    """Of a frame, BGR uint8 (height, width, 3)."""
    height, width = frame.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    outer = np.ones(grey.shape, bool)
    down, across = -(-grey.shape[0] // 8), -(-grey.shape[1] // 8)
    outer[down:-down, across:-across] = False
    values = [
        float(grey.mean()),
        float((grey >= _WHITE).mean()),
        float(np.log((edges.var() + 1e-3) / (grey.var() + 1))),
    ]
    border = *small[outer].mean(axis=0).tolist(), float(grey[outer].std())
    brightness, white, sharpness = (round(value, 4) for value in values)
    return Look(width, height, brightness, white, sharpness, tuple(round(value, 1) for value in border), camera)
