"""What a source is: frames with their place and time, what was asked of it and what it gave, and its address."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import cv2
import numpy as np

from edge.errors import UserError


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


def capture_mode(capture: cv2.VideoCapture) -> Mode:
    """What OpenCV says that it reads."""
    width, height, fps, code = (
        capture.get(key)
        for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FOURCC)
    )
    fourcc = int(max(code, 0)).to_bytes(4, "little").decode("ascii", "ignore").strip("\0 ")
    return Mode(int(width) or None, int(height) or None, fps if 0 < fps < 1000 else None, fourcc or None)


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
