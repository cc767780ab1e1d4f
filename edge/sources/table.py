"""Where frames come from: one grammar, one table. A file gives every frame, a live source always the newest.

0, /dev/video2               a camera that the kernel knows (USB)
/dev/v4l/by-id/…             the same by a name that stays (also by-path); looked up at every opening
picamera2, picamera2:1       a ribbon-cable camera of a Raspberry Pi
rtsp://…, http://…           a network camera
-                            JPEGs on standard input: rpicam-vid -t 0 --codec mjpeg -o - | python -m edge run …
test:                        a moving test pattern
clip.mp4, photos/, *.jpg     a video, a folder of pictures, a pattern of file names
"""

import re
from collections.abc import Callable
from pathlib import Path

from edge.errors import UserError
from edge.sources.base import Mode, Source, shown
from edge.sources.cameras import Kernel, Ribbon
from edge.sources.files import open_file, open_folder, open_glob
from edge.sources.live import Grabber, Live
from edge.sources.network import open_network
from edge.sources.streams import StandardInput, TestPattern

Opener = Callable[[str, Mode, bool], Source]


def _elsewhere(text: str, mode: Mode, wait: bool) -> Source:
    raise UserError(f"--source: {shown(text)}: expected an address that starts rtsp:// or http://")


def _live(grabber: Callable[[str, Mode], Grabber]) -> Opener:
    return lambda text, mode, wait: Live(grabber, text, mode, wait=wait)


def _there(opener: Callable[[str], Source]) -> Opener:
    """Files are not waited for, and have their own size and rate."""
    return lambda text, mode, wait: opener(text)


# The first that matches opens it.
SOURCES: tuple[tuple[Callable[[str], object], Opener], ...] = (
    (re.compile(r"\d+|/dev/video\d+|/dev/v4l/by-(id|path)/.+").fullmatch, _live(Kernel)),
    (re.compile(r"picamera2(:\d+)?").fullmatch, _live(Ribbon)),
    (re.compile(r"(?i)(rtsps?|https?)://.+").fullmatch, open_network),
    (re.compile(r"-").fullmatch, _live(StandardInput)),
    (re.compile(r"test:").fullmatch, _live(TestPattern)),
    (re.compile(r"[A-Za-z][\w+.-]*://").match, _elsewhere),
    (lambda text: Path(text).is_dir(), _there(open_folder)),
    (lambda text: Path(text).is_file(), _there(open_file)),
    (re.compile(r".*[*?\[]").match, _there(open_glob)),
    (lambda text: True, _there(open_file)),
)


def open_source(text: str, mode: Mode | None = None, wait: bool = False) -> Source:
    """Open what `--source` names.

    Args:
        mode: what is asked of a camera. No live source gives more than `fps` frames a second.
        wait: a camera that is away is no error: it gives frames when it comes.

    Raises:
        UserError: if there is nothing of that name, or it does not open.
    """
    try:
        return next(opener for matches, opener in SOURCES if matches(text))(text, mode or Mode(), wait)
    except OSError as error:  # too long a name, a folder that is closed to us
        raise UserError(f"--source: {shown(text)}: {error.strerror or error}") from error
