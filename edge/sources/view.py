"""What part of the frame, and which way up, the model and the viewers see."""

from argparse import ArgumentTypeError
from collections.abc import Callable

import cv2
import numpy as np

from edge.errors import UserError

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def make_view(
    rotate: int = 0, mirror: bool = False, region: tuple[int, int, int, int] | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from frame to frame, BGR uint8 (height, width, 3): turned clockwise, mirrored, then cut.

    Args:
        rotate: 0, 90, 180 or 270 degrees.
        mirror: flip left and right.
        region: x, y, width and height in pixels of the turned frame; what reaches beyond it is left out.

    Raises:
        UserError: by the function, if the region lies outside the frame.
    """

    def view(frame: np.ndarray) -> np.ndarray:
        if rotate:
            frame = cv2.rotate(frame, _ROTATIONS[rotate])
        if mirror:
            frame = cv2.flip(frame, 1)
        if region is not None:
            x, y, width, height = region
            whole = frame
            frame = frame[y : y + height, x : x + width]
            if frame.size == 0:
                raise UserError(
                    f"--roi: {x},{y},{width},{height} lies outside a frame of {whole.shape[1]}x{whole.shape[0]}"
                )
        return frame

    return view


def parse_region(text: str) -> tuple[int, int, int, int]:
    """x,y,width,height as `--roi` takes them.

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        x = y = width = height = -1
    if min(x, y) < 0 or min(width, height) < 1:
        raise ArgumentTypeError(f"expected X,Y,W,H in pixels, found {text!r}")
    return x, y, width, height
