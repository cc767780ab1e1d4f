"""Files as sources: every frame of a video, every picture of a folder or a pattern."""

import glob
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from edge.errors import UserError
from edge.folder import find_pictures
from edge.pictures import is_picture, read_picture
from edge.sources.base import Frame, Source, capture_mode
from edge.sources.view import make_view
from edge.text import utf8


class Pictures(Source):
    """Picture files, each one frame; one that cannot be read is named in `skipped` and left out."""

    def __init__(self, name: str, paths: list[Path]) -> None:
        super().__init__(name)
        self.paths = paths

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            try:
                image = read_picture(path)
            except UserError as error:
                self.skipped.append(str(error))
                continue
            yield Frame(image, index, str(path), time.monotonic())


class Video(Source):
    """A video file: every frame, in order, upright as its container says.

    The turning is done here: whether OpenCV does it depends on its version and backend.
    """

    def __init__(self, name: str, capture: cv2.VideoCapture) -> None:
        super().__init__(name)
        self._capture = capture
        if not self._capture.isOpened():
            raise UserError(f"--source: {name}: expected a video that OpenCV can read")
        self.mode = capture_mode(self._capture)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        turn = int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360  # clockwise; phones lie on their side
        self._upright = make_view(turn if turn in (90, 180, 270) else 0)

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            found, image = self._capture.read()
            if not found:
                break
            yield Frame(self._upright(image), index, self.name, time.monotonic())
            index += 1
        if index == 0:
            raise UserError(f"--source: {self.name}: expected a video, found no frame in it")

    def close(self) -> None:
        self._capture.release()


def open_folder(text: str) -> Source:
    found = find_pictures(Path(text))
    left_out = found.left_out()
    if not found.pictures:
        raise UserError(f"--source: {text}: expected pictures in this folder, found {left_out or 'none'}")
    if left_out:
        print(f"{text}: left out: {left_out}", file=sys.stderr)
    return Pictures(text, found.pictures)


def open_glob(text: str) -> Source:
    paths = sorted(Path(name) for name in glob.glob(text, recursive=True))
    if not paths:
        raise UserError(f"--source: {text}: expected files of this pattern, found none")
    return Pictures(text, paths)


def open_file(text: str) -> Source:
    path = Path(text)
    if not path.is_file():
        raise UserError(f"--source: {text}: expected a camera, video, picture or folder, found nothing of that name")
    return Pictures(text, [path]) if is_picture(path) else Video(text, cv2.VideoCapture(utf8(text)))
