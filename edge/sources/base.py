"""What a source is: frames with their place and time, what was asked of it and what it gave, and its address."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import cv2
import numpy as np

from edge.drift import Drift
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


NO_SIGNAL = 3.0  # seconds without a frame after which a camera counts as away


@dataclass(frozen=True)
class Signal:
    """Whether a source has frames to give, whoever wants them and how seldom.

    Attributes:
        since: seconds since it last had one; while it never had any, since it was opened.
        reopened: how often it was opened again.
        hung: a call into its driver does not return; only a new process helps.
        drift: whether its frames are still what the model was trained on; None if nobody looks at that.
    """

    since: float = 0.0
    reopened: int = 0
    hung: bool = False
    drift: Drift | None = None

    @property
    def there(self) -> bool:
        return self.since < NO_SIGNAL


class Away(UserError):
    """There is no such camera now. It may come: whoever can wait tries again."""


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

    def signal(self) -> Signal:
        """Whether it has frames to give; safe to ask from any thread."""
        return Signal()

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


def shown(address: str) -> str:
    """An address as it may be printed: scheme and host alone, for user, path and query may all be secret.

    Where an @ stands behind the host, what looks like the host may be a piece of a password: then the scheme alone.
    A file name is no address, and stays.
    """
    scheme, mark, rest = address.partition("://")
    if not mark or not scheme.replace("+", "").replace("-", "").replace(".", "").isalnum():
        return address
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or "@" in rest[len(parts.netloc) :] or not host.isprintable() or " " in host:
        return f"{scheme}://…"
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{port}" if port else f"{scheme}://{host}"


def split_address(flag: str, address: str) -> SplitResult:
    """The parts of an address; `unquote` gives user, password and path as they were meant.

    Raises:
        UserError: if it has no such parts, or a character in it ends the user or the password too early.
    """
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - it is parsed here
        whole = "@" not in address.partition("://")[2][len(parts.netloc) :] or "@" in parts.netloc
    except ValueError:
        whole = False
    if not whole or parts.fragment:
        raise UserError(
            f"{flag}: {shown(address)}: expected scheme://user:password@host:port/path, found another form; in a user "
            "or a password write %23 for #, %2F for /, %3F for ?, %40 for @, %5B for [; in a path %40 for @"
        )
    return parts
