"""The one way from a frame to a tensor. Training, calibration, the proof and the device all come through here."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from edge.model.contract import ModelSpec


@dataclass(frozen=True)
class TensorType:
    """What an input tensor takes: its dtype and, if quantized, real = scale * (value - zero_point).

    `scale` is 0 for a float tensor.
    """

    dtype: str = "float32"
    scale: float = 0.0
    zero_point: int = 0


FLOAT32 = TensorType()


def prepare(frame: np.ndarray, spec: ModelSpec, tensor: TensorType = FLOAT32) -> np.ndarray:
    """Bring a frame to what the model takes.

    Args:
        frame: BGR uint8 of shape (height, width, 3).
        spec: gives size, resize mode, mean and std.
        tensor: the model's input, float32 by default.

    Returns:
        An array of shape (1, *spec.size, 3) in RGB order and of `tensor.dtype`: (pixel - mean) / std, quantized
        if the tensor is. Where the scale and zero point are the normalization, that is the pixels themselves.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ValueError(f"expected a BGR uint8 frame (height, width, 3), found {frame.dtype} {frame.shape}")
    pixels = cv2.cvtColor(resize(frame, spec.size, spec.resize), cv2.COLOR_BGR2RGB)
    table = lookup_table(spec.mean, spec.std, tensor)
    return (pixels if table is None else cv2.LUT(pixels, table))[np.newaxis]


@lru_cache(maxsize=16)
def lookup_table(mean: tuple[float, ...], std: tuple[float, ...], tensor: TensorType) -> np.ndarray | None:
    """What each pixel value becomes, as (1, 256, 3) in RGB order and `tensor.dtype`; None if nothing changes."""
    pixels = np.arange(256, dtype=np.float64).reshape(1, 256, 1)
    real = (pixels - np.asarray(mean)) / np.asarray(std)
    if not tensor.scale:
        return real.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    # The scale is stored as float32: a value that is half-way but for that error must not fall to the wrong side.
    levels = np.round(real / tensor.scale, 4) + tensor.zero_point
    # The pixels themselves, where they are as near as any other level: half-way ones rounded to even would lose half.
    raw = pixels + limits.min
    levels = np.where(np.abs(levels - raw) <= 0.5, raw, np.rint(levels))
    table = np.clip(levels, limits.min, limits.max).astype(tensor.dtype)
    return None if np.array_equal(table, np.broadcast_to(pixels, table.shape)) else table


def resize(frame: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """Bring a uint8 frame (height, width, channels) to `size` (height, width); the channels keep their order.

    "stretch" ignores the aspect ratio; "crop" keeps it and takes the middle; "pad" keeps it and adds black borders.
    """
    height, width = size
    if mode == "crop":
        frame = _middle(frame, height / width)
    elif mode == "pad":
        scale = min(height / frame.shape[0], width / frame.shape[1])
        inner = max(1, round(frame.shape[0] * scale)), max(1, round(frame.shape[1] * scale))
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        return cv2.copyMakeBorder(
            _shrink(frame, inner),
            top,
            height - inner[0] - top,
            left,
            width - inner[1] - left,
            cv2.BORDER_CONSTANT,
        )
    return _shrink(frame, size)


def _middle(frame: np.ndarray, ratio: float) -> np.ndarray:
    height, width = frame.shape[:2]
    keep_height = min(height, max(1, round(width * ratio)))
    keep_width = min(width, max(1, round(height / ratio)))
    top, left = (height - keep_height) // 2, (width - keep_width) // 2
    return frame[top : top + keep_height, left : left + keep_width]


def _shrink(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Halve by 2x2 means while that leaves enough, then interpolate: as smooth as an area mean, a tenth of its time."""
    height, width = size
    while frame.shape[0] >= 2 * height and frame.shape[1] >= 2 * width:
        half = frame.shape[1] // 2, frame.shape[0] // 2
        frame = cv2.resize(frame[: 2 * half[1], : 2 * half[0]], half, interpolation=cv2.INTER_AREA)
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
