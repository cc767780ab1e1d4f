"""Network cameras: streams through FFmpeg, addresses that give one picture a request, and video files of a server."""

import ssl
import time
from http.client import HTTPException
from typing import Any
from urllib import request
from urllib.parse import unquote

import cv2
import numpy as np

from edge.errors import UserError
from edge.pictures import decode_picture
from edge.sources.base import Away, Mode, Source, capture_mode, shown, split_address
from edge.sources.files import Video
from edge.sources.live import SILENCE, Live

_LONGEST_PAUSE = 2.0  # seconds between two pictures of a camera that gives one a request
_LARGEST = 1 << 26  # bytes of a picture


def open_network(text: str, mode: Mode, wait: bool = False) -> Source:
    """A camera, or a video file that a server has: of that every frame, once."""
    split_address("--source", text)
    try:
        return Live(Stream, text, mode, wait=wait)
    except _Finite as found:
        return Video(shown(text), found.capture)


class _Finite(UserError):
    """What opened is a video file."""

    def __init__(self, text: str, capture: cv2.VideoCapture) -> None:
        super().__init__(f"--source: {shown(text)}: it is a video file, and was not there at the start; start again")
        self.capture = capture


class Stream:
    """A network camera, through FFmpeg; one that gives a single picture a request is asked again and again."""

    def __init__(self, text: str, mode: Mode) -> None:
        self._text, self._asked, self._http = text, mode, text.lower().startswith("http")
        limit = int(SILENCE * 1e3)  # a connection that stalls gives up by itself
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
        self._capture = cv2.VideoCapture(text, cv2.CAP_FFMPEG, limits)
        if not self._capture.isOpened():
            raise Away(f"--source: {shown(text)}: expected a video stream, found none that opens")
        if self._http and self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            raise _Finite(text, self._capture)
        self.mode = capture_mode(self._capture)
        self._frames = 0
        self._single: Snapshot | None = None

    def grab(self) -> bool:
        if self._single is not None:
            return self._single.grab()
        started = time.monotonic()
        found = self._capture.grab()
        if not found and self._frames == 1 and self._http and gives_pictures(self._text):
            self._single = Snapshot(self._text, self._asked)
            return self._single.grab()
        # After a timeout the decoder still hands out what it had kept back: old frames, one a timeout.
        if not found or time.monotonic() - started > 0.9 * SILENCE:
            raise OSError("the stream broke off")
        self._frames += 1
        return True

    def retrieve(self) -> np.ndarray | None:
        if self._single is not None:
            return self._single.retrieve()
        found, image = self._capture.retrieve()
        return image if found else None

    def close(self) -> None:
        self._capture.release()


class Snapshot:
    """A camera that gives one picture a request, asked at the rate of `mode.fps`, else once a second."""

    def __init__(self, text: str, mode: Mode) -> None:
        self._text, self._pause = text, min(1 / (mode.fps or 1.0), _LONGEST_PAUSE)
        self._due = time.monotonic()
        self._data = b""

    def grab(self) -> bool:
        now = time.monotonic()
        self._due = max(self._due + self._pause, now)
        time.sleep(self._due - now)
        with _ask(self._text) as answer:
            self._data = answer.read(_LARGEST)
        return True

    def retrieve(self) -> np.ndarray | None:
        return decode_picture(self._data)


def gives_pictures(text: str) -> bool:
    """Whether an http address answers with a picture file, not with a stream."""
    try:
        with _ask(text) as answer:
            return answer.headers.get_content_maintype() == "image"
    except (OSError, HTTPException, ValueError):
        return False


def _ask(text: str) -> Any:
    """The answer to a GET with the user and the password of the address.

    Like FFmpeg, it takes any certificate: cameras sign their own.
    """
    parts = split_address("--source", text)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    secrets = request.HTTPPasswordMgrWithPriorAuth()
    if parts.username is not None:
        secrets.add_password(None, bare, unquote(parts.username), unquote(parts.password or ""), False)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = request.build_opener(
        request.HTTPBasicAuthHandler(secrets),
        request.HTTPDigestAuthHandler(secrets),
        request.HTTPSHandler(context=context),
    )
    return opener.open(bare, timeout=SILENCE)
