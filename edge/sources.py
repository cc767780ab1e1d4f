"""Where frames come from: one grammar, one table. A file gives every frame, a live source always the newest.

0, /dev/video2      a camera
clip.mp4            a video file
photos/, *.jpg      pictures
"""

import glob
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.errors import UserError
from edge.pictures import SUFFIXES, read_picture


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        image: BGR uint8 (height, width, 3).
        index: its number within the source, from 0; a live source counts the frames it dropped too.
        source: the file or camera it came from.
        captured: when, by `time.monotonic()`.
    """

    image: np.ndarray
    index: int
    source: str
    captured: float


class Pictures:
    """Picture files, each one frame; one that cannot be read is named in `skipped` and left out."""

    live = False
    fps = 0.0
    dropped = 0

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.skipped: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            try:
                image = read_picture(path)
            except UserError as error:
                self.skipped.append(str(error))
                continue
            yield Frame(image, index, str(path), time.monotonic())

    def close(self) -> None:
        pass


class Video:
    """A video file: every frame, in order."""

    live = False
    dropped = 0

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.skipped: list[str] = []
        self._capture = cv2.VideoCapture(self.name)
        if not self._capture.isOpened():
            raise UserError(f"--source: {path}: expected a video that OpenCV can read")
        self.fps = self._capture.get(cv2.CAP_PROP_FPS)

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            found, image = self._capture.read()
            if not found:
                break
            yield Frame(image, index, self.name, time.monotonic())
            index += 1
        if index == 0:
            raise UserError(f"--source: {self.name}: expected a video, found no frame in it")

    def close(self) -> None:
        self._capture.release()


class Camera:
    """A live camera. A thread reads all the time and keeps the newest frame, for the driver buffers old ones."""

    live = True
    WAIT = 5.0  # seconds without a frame before the camera counts as lost

    def __init__(self, device: str) -> None:
        self.name = device
        self.skipped: list[str] = []
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        # MJPG before the size: raw frames of a USB camera do not fit through the bus at full rate.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        if not self._capture.isOpened():
            raise UserError(f"--source: expected a camera at {device}, found none that opens")
        self.fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.dropped = 0
        self._newest: Frame | None = None
        self._fresh = threading.Condition()
        self._stop = False
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        index = 0
        while not self._stop:
            found, image = self._capture.read()
            if not found:
                break
            with self._fresh:
                self.dropped += self._newest is not None
                self._newest = Frame(image, index, self.name, time.monotonic())
                self._fresh.notify()
            index += 1
        with self._fresh:
            self._stop = True
            self._fresh.notify()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._fresh:
                if not self._fresh.wait_for(lambda: self._newest is not None or self._stop, self.WAIT):
                    raise UserError(f"--source: {self.name}: no frame for {self.WAIT:.0f} s")
                frame, self._newest = self._newest, None
            if frame is None:
                return
            yield frame

    def close(self) -> None:
        self._stop = True
        self._thread.join(self.WAIT)
        self._capture.release()


Source = Pictures | Video | Camera


def _folder(text: str) -> Source:
    paths = sorted(path for path in Path(text).rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise UserError(f"--source: {text}: expected pictures in this folder, found none")
    return Pictures(paths)


def _glob(text: str) -> Source:
    paths = sorted(Path(name) for name in glob.glob(text, recursive=True))
    if not paths:
        raise UserError(f"--source: {text}: expected files of this pattern, found none")
    return Pictures(paths)


def _file(text: str) -> Source:
    path = Path(text)
    if not path.is_file():
        raise UserError(f"--source: {text}: expected a camera, video, picture or folder, found nothing of that name")
    return Pictures([path]) if path.suffix.lower() in SUFFIXES else Video(path)


# The first that matches opens it.
SOURCES: tuple[tuple[Callable[[str], object], Callable[[str], Source]], ...] = (
    (re.compile(r"\d+").fullmatch, lambda text: Camera(f"/dev/video{text}")),
    (re.compile(r"/dev/video\d+").fullmatch, Camera),
    (lambda text: Path(text).is_dir(), _folder),
    (re.compile(r".*[*?\[]").match, _glob),
    (lambda text: True, _file),
)


def open_source(text: str) -> Source:
    """Open what `--source` names.

    Raises:
        UserError: if there is nothing of that name, or it does not open.
    """
    return next(opener for matches, opener in SOURCES if matches(text))(text)
