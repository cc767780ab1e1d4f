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
from edge.sources import cameras
from edge.sources.base import Mode, Source, without_credentials
from edge.sources.files import open_file, open_folder, open_glob


def _elsewhere(text: str, mode: Mode) -> Source:
    raise UserError(f"--source: {without_credentials(text)}: expected an address that starts rtsp:// or http://")


def _live(grabber: type[cameras.Grabber]) -> Callable[[str, Mode], Source]:
    return lambda text, mode: cameras.Live(grabber, text, mode)


# The first that matches opens it.
SOURCES: tuple[tuple[Callable[[str], object], Callable[[str, Mode], Source]], ...] = (
    (re.compile(r"\d+|/dev/video\d+|/dev/v4l/by-(id|path)/.+").fullmatch, _live(cameras.Kernel)),
    (re.compile(r"picamera2(:\d+)?").fullmatch, _live(cameras.Ribbon)),
    (re.compile(r"(?i)(rtsps?|https?)://.+").fullmatch, _live(cameras.Network)),
    (re.compile(r"-").fullmatch, _live(cameras.StandardInput)),
    (re.compile(r"test:").fullmatch, _live(cameras.TestPattern)),
    (re.compile(r"[A-Za-z][\w+.-]*://").match, _elsewhere),
    (lambda text: Path(text).is_dir(), open_folder),
    (lambda text: Path(text).is_file(), open_file),
    (re.compile(r".*[*?\[]").match, open_glob),
    (lambda text: True, open_file),
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
