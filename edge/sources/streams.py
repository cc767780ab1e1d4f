"""Frames out of this process's own hands: JPEGs on standard input, a moving test pattern."""

import os
import select
import sys
import time
from functools import partial

import numpy as np

from edge.errors import UserError
from edge.pictures import decode_picture, jpeg_end
from edge.sources.base import Mode
from edge.sources.live import EndOfSource
from edge.sources.pattern import draw


class StandardInput:
    """JPEGs one after the other on standard input, as `rpicam-vid --codec mjpeg -o -` writes them."""

    LARGEST = 1 << 25  # bytes without the end of a picture after which it is no stream of pictures
    RUBBISH = 4 << 20  # bytes that are no picture's after which there will be none

    def __init__(self, text: str, mode: Mode) -> None:
        if sys.stdin.isatty():
            raise UserError("--source -: expected JPEGs on standard input, found a terminal")
        self._descriptor = sys.stdin.fileno()
        self._bytes = bytearray()
        self._picture = b""
        self._rubbish = 0  # bytes since the last picture
        self.mode = Mode(fourcc="MJPG")

    def grab(self) -> bool:
        while True:
            try:
                end = jpeg_end(self._bytes) if self._bytes.startswith(b"\xff\xd8") else None
            except ValueError:
                self._skip(2)  # on to the next start of a picture
                continue
            if end is not None:
                self._picture = bytes(self._bytes[:end])
                del self._bytes[:end]
                return True
            start = self._bytes.find(b"\xff\xd8", 0 if len(self._bytes) < self.LARGEST else 1)
            if start > 0:
                self._skip(start)
                continue
            if start < 0:
                self._skip(len(self._bytes) - 1)
            if not select.select([self._descriptor], [], [], 0.2)[0]:
                return False
            more = os.read(self._descriptor, 1 << 20)
            if not more:
                raise EndOfSource
            self._bytes += more

    def _skip(self, count: int) -> None:
        del self._bytes[: max(0, count)]
        self._rubbish += max(0, count)
        if self._rubbish > self.RUBBISH:
            raise UserError(
                f"--source -: expected JPEGs one after the other (rpicam-vid --codec mjpeg -o -), found no JPEG in "
                f"{self.RUBBISH >> 20} MB"
            )

    def retrieve(self) -> np.ndarray | None:
        try:
            image = decode_picture(self._picture)
        except ValueError:
            self._rubbish += len(self._picture)
            return None
        self._rubbish = 0
        return image

    def close(self) -> None:
        pass


class TestPattern:
    """A moving pattern with the time drawn in: a camera for machines that have none."""

    __test__ = False

    def __init__(self, text: str, mode: Mode) -> None:
        width, height, fps = mode.width or 640, mode.height or 480, max(1.0, mode.fps or 30.0)
        self.mode = Mode(width, height, fps)
        self._draw = partial(draw, width, height)
        self._pause = 1 / fps
        self._due = time.monotonic()

    def grab(self) -> bool:
        now = time.monotonic()
        self._due = max(self._due + self._pause, now)
        time.sleep(self._due - now)
        return True

    def retrieve(self) -> np.ndarray:
        return self._draw(time.monotonic())

    def close(self) -> None:
        pass
