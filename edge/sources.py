"""Where frames come from: one grammar, one table. A file gives every frame, a live source always the newest.

0, /dev/video2               a camera that the kernel knows (USB)
/dev/v4l/by-id/…             the same by a name that stays (also by-path); looked up at every opening
picamera2, picamera2:1       a ribbon-cable camera of a Raspberry Pi
rtsp://…, http://…           a network camera
-                            JPEGs on standard input: rpicam-vid -t 0 --codec mjpeg -o - | python -m edge run …
test:                        a moving test pattern
clip.mp4, photos/, *.jpg     a video, a folder of pictures, a pattern of file names
"""

import glob
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

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
        source: the file or camera it came from, without credentials.
        captured: when, by `time.monotonic()`.
    """

    image: np.ndarray
    index: int
    source: str
    captured: float


@dataclass(frozen=True)
class Mode:
    """What is asked of a camera; None leaves a value to the camera. A source reports what it gave in the same form."""

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    fourcc: str | None = None

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}" if self.width and self.height else ""
        return " ".join(filter(None, (size, f"{self.fps:g} frames/s" if self.fps else "", self.fourcc)))


class Source:
    """Iterate over it for frames; close it afterwards.

    Attributes:
        live: whether it goes on without us: then it gives the newest frame, and None once a second while there is none.
        mode: size and rate as the source reports them, as far as it knows.
        dropped: frames that came and were not given out.
        skipped: one line for each thing that could not be read.
    """

    live = False
    mode = Mode()
    dropped = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.skipped: list[str] = []

    def __iter__(self) -> Iterator[Frame | None]:
        raise NotImplementedError

    def close(self) -> None:
        pass


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
    """A video file: every frame, in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._capture = cv2.VideoCapture(self.name)
        if not self._capture.isOpened():
            raise UserError(f"--source: {path}: expected a video that OpenCV can read")
        self.mode = capture_mode(self._capture)

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


def capture_mode(capture: cv2.VideoCapture) -> Mode:
    """What OpenCV says that it reads."""
    width, height, fps, code = (
        capture.get(key)
        for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FOURCC)
    )
    fourcc = int(max(code, 0)).to_bytes(4, "little").decode("ascii", "ignore").strip("\0 ")
    return Mode(int(width) or None, int(height) or None, fps if 0 < fps < 1000 else None, fourcc or None)


def _folder(text: str, mode: Mode) -> Source:
    paths = sorted(path for path in Path(text).rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise UserError(f"--source: {text}: expected pictures in this folder, found none")
    return Pictures(text, paths)


def _glob(text: str, mode: Mode) -> Source:
    paths = sorted(Path(name) for name in glob.glob(text, recursive=True))
    if not paths:
        raise UserError(f"--source: {text}: expected files of this pattern, found none")
    return Pictures(text, paths)


def _file(text: str, mode: Mode) -> Source:
    path = Path(text)
    if not path.is_file():
        raise UserError(f"--source: {text}: expected a camera, video, picture or folder, found nothing of that name")
    return Pictures(text, [path]) if path.suffix.lower() in SUFFIXES else Video(path)


def _elsewhere(text: str, mode: Mode) -> Source:
    raise UserError(f"--source: {without_credentials(text)}: expected an address that starts rtsp:// or http://")


def _live(name: str) -> Callable[[str, Mode], Source]:
    def opener(text: str, mode: Mode) -> Source:
        from edge import cameras

        return cameras.Live(getattr(cameras, name), text, mode)

    return opener


# The first that matches opens it.
SOURCES: tuple[tuple[Callable[[str], object], Callable[[str, Mode], Source]], ...] = (
    (re.compile(r"\d+|/dev/video\d+|/dev/v4l/by-(id|path)/.+").fullmatch, _live("Kernel")),
    (re.compile(r"picamera2(:\d+)?").fullmatch, _live("Ribbon")),
    (re.compile(r"(?i)(rtsps?|https?)://.+").fullmatch, _live("Network")),
    (re.compile(r"-").fullmatch, _live("StandardInput")),
    (re.compile(r"test:").fullmatch, _live("TestPattern")),
    (re.compile(r"[A-Za-z][\w+.-]*://").match, _elsewhere),
    (lambda text: Path(text).is_dir(), _folder),
    (lambda text: Path(text).is_file(), _file),
    (re.compile(r".*[*?\[]").match, _glob),
    (lambda text: True, _file),
)


def open_source(text: str, mode: Mode | None = None) -> Source:
    """Open what `--source` names.

    Raises:
        UserError: if there is nothing of that name, or it does not open.
    """
    try:
        return next(opener for matches, opener in SOURCES if matches(text))(text, mode or Mode())
    except OSError as error:  # too long a name, a folder that is closed to us
        raise UserError(f"--source: {without_credentials(text)}: {error.strerror or error}") from error


# In a path, as many cheap cameras want it: /user=admin_password=secret_channel=1.sdp
_SECRET = re.compile(r"((?:user|usr|pass|pwd|psw|key|token)\w*?=).*?(?=[_&;,/][a-z]+=|$)", re.IGNORECASE | re.DOTALL)


def without_credentials(address: str) -> str:
    """An address as it may be printed: user, password and query, where keys are passed, replaced by stars.

    Passwords may hold / ? # and @, so all before the last @ goes. Where that may as well be the @ of a parameter, what
    follows may be secret too, and only the scheme stays.
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    secret, at, rest = rest.rpartition("@")
    if re.search(r"[/?#].*=", secret, re.DOTALL):
        return f"{scheme}://***"
    rest = _SECRET.sub(r"\1***", re.sub(r"[?#].*", "?***", rest, flags=re.DOTALL))
    return f"{scheme}://***@{rest}" if at else f"{scheme}://{rest}"


def split_address(flag: str, address: str) -> SplitResult:
    """The parts of an address.

    Raises:
        UserError: if it has no such parts, or a port that is none.
    """
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - it is parsed here
        return parts
    except ValueError as error:
        raise UserError(f"{flag}: {without_credentials(address)}: {error}") from error
