"""Live cameras: one thread that reads and reopens, and a small class for each way to get a frame.

Each of those classes opens in its constructor, has `mode` (what it gave of what was asked), `read` (the next frame,
BGR uint8 (height, width, 3), or None when it failed; it must not block for ever) and `close`.
"""

import contextlib
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edge.errors import UserError
from edge.pictures import decode_picture, jpeg_end
from edge.sources.base import Frame, Mode, Source, capture_mode, without_credentials
from edge.sources.pattern import draw

SILENCE = 5.0  # seconds without a frame after which a camera counts as lost
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between attempts to reopen; doubled each time
_TICK = 1.0  # seconds after which the loop hears that there is no frame


class Grabber(Protocol):
    mode: Mode

    def __init__(self, text: str, mode: Mode) -> None: ...

    def read(self) -> np.ndarray | None: ...

    def close(self) -> None: ...


class Live(Source):
    """A live source: a thread reads all the time and keeps only the newest frame, for drivers queue old ones.

    That it opens at all is tried at once, so that a wrong name is an error. A source that fails or goes silent later
    is opened again, for ever, with a pause that grows until a frame comes: some that are broken still open.
    """

    live = True

    def __init__(
        self, grabber: type[Grabber], text: str, mode: Mode, tell: Callable[[str], None] | None = None
    ) -> None:
        super().__init__("standard input" if text == "-" else without_credentials(text))
        self._open = lambda: grabber(text, mode)
        self._grabber: Grabber | None = self._open()
        self.mode = self._grabber.mode
        self.reopened = 0
        self._pause = _FIRST_PAUSE
        self._tell = tell or (lambda line: print(f"{self.name}: {line}", file=sys.stderr, flush=True))
        self._newest: Frame | None = None
        self._fresh = threading.Condition()
        self._ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="camera", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            index = 0
            while not self._stop.is_set():
                if self._grabber is None and not self._reopen():
                    return
                assert self._grabber is not None
                index = self._read(self._grabber, index)
                self._let_go()
                if not self._stop.is_set():
                    self._tell("lost; opening it again")
        except EndOfSource:
            pass
        finally:
            self._let_go()
            with self._fresh:
                self._ended = True
                self._fresh.notify()

    def _read(self, grabber: Grabber, index: int) -> int:
        """Read until it fails, or has been silent for too long; the number of the next frame."""
        last = time.monotonic()
        while not self._stop.is_set():
            try:
                image = grabber.read()
            except EndOfSource:
                raise
            except Exception:  # whatever a driver raises, the source is lost and may return
                return index
            now = time.monotonic()
            if image is not None:
                with self._fresh:
                    self.dropped += self._newest is not None
                    self._newest = Frame(image, index, self.name, now)
                    self._fresh.notify()
                index, last, self._pause = index + 1, now, _FIRST_PAUSE
            elif now - last > SILENCE:
                return index
            else:
                self._stop.wait(0.02)
        return index

    def _let_go(self) -> None:
        grabber, self._grabber = self._grabber, None
        with contextlib.suppress(Exception):  # a driver that cannot close a lost camera may still open it again
            if grabber is not None:
                grabber.close()

    def _reopen(self) -> bool:
        while not self._stop.wait(self._pause):
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            try:
                self._grabber = self._open()
            except Exception:  # not there yet
                continue
            self.mode = self._grabber.mode
            self.reopened += 1
            self._tell("found again")
            return True
        return False

    def __iter__(self) -> Iterator[Frame | None]:
        while True:
            with self._fresh:
                self._fresh.wait_for(lambda: self._newest is not None or self._ended, _TICK)
                frame, self._newest = self._newest, None
                ended = self._ended
            if frame is None and ended:
                return
            yield frame

    def close(self) -> None:
        self._stop.set()
        self._thread.join(SILENCE)


class EndOfSource(Exception):
    """A live source that is over, not lost: the writer of a pipe went away."""


class Kernel:
    """A camera that the kernel knows as /dev/videoN, through Video4Linux; other names are links to that."""

    def __init__(self, text: str, mode: Mode) -> None:
        device = f"/dev/video{text}" if text.isdigit() else text
        self._node = Path(device).resolve()
        # MJPG before the size: raw frames of a USB camera do not fit through the bus at full rate.
        settings = (
            (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*(mode.fourcc or "MJPG"))),
            (cv2.CAP_PROP_FRAME_WIDTH, mode.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, mode.height),
            (cv2.CAP_PROP_FPS, mode.fps),
        )
        self._capture = cv2.VideoCapture(str(self._node), cv2.CAP_V4L2)
        for key, value in settings:
            if value is not None:
                self._capture.set(key, value)
        if not self._capture.isOpened():
            raise UserError(f"--source: expected a camera at {device}, found none that opens{_hint(device)}")
        self.mode = capture_mode(self._capture)

    def read(self) -> np.ndarray | None:
        found, image = self._capture.read()
        if not found and not self._node.exists():
            raise OSError("it was unplugged")  # at once: while it is held, the kernel does not give its number again
        return image if found else None

    def close(self) -> None:
        self._capture.release()


def _hint(device: str, tree: Path = Path("/proc/device-tree/model")) -> str:
    """Why there may be none: no such device, no right to it, or a ribbon-cable camera, which OpenCV cannot see."""
    if Path(device).exists() and not os.access(device, os.R_OK | os.W_OK):
        return "; no right to use it: sudo usermod -aG video $USER, then log in again"
    with contextlib.suppress(OSError):
        if "Raspberry Pi" in tree.read_text():
            return "; OpenCV does not see ribbon-cable cameras on Raspberry Pi OS: for one, use --source picamera2"
    return "; python -m edge run --list-sources names what there is"


class Network:
    """A network camera, through FFmpeg; a connection that stalls gives up by itself."""

    def __init__(self, text: str, mode: Mode) -> None:
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            int(SILENCE * 1e3),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            int(SILENCE * 1e3),
        ]
        self._capture = cv2.VideoCapture(text, cv2.CAP_FFMPEG, limits)
        if not self._capture.isOpened():
            raise UserError(f"--source: {without_credentials(text)}: expected a video stream, found none that opens")
        self.mode = capture_mode(self._capture)

    def read(self) -> np.ndarray | None:
        started = time.monotonic()
        found, image = self._capture.read()
        # After a timeout the decoder still hands out what it had kept back: old frames, one a timeout.
        if not found or time.monotonic() - started > 0.9 * SILENCE:
            raise OSError("the stream broke off")
        return image

    def close(self) -> None:
        self._capture.release()


class Ribbon:
    """A ribbon-cable (CSI) camera of a Raspberry Pi, through picamera2, which comes with the system (apt)."""

    def __init__(self, text: str, mode: Mode) -> None:
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise UserError(
                f"--source: {text}: picamera2 cannot be imported ({error}); on Raspberry Pi OS: sudo apt install "
                "python3-picamera2, and a virtual environment made with --system-site-packages"
            ) from error
        number = int(text.partition(":")[2] or 0)
        try:
            self._camera: Any = Picamera2(number)
        except (IndexError, RuntimeError) as error:
            raise UserError(
                f"--source: {text}: expected a camera on the ribbon-cable port {number}, found none"
            ) from error
        size = mode.width or 640, mode.height or 480
        # What libcamera calls RGB888 lies in memory as B, G, R: the frame as OpenCV wants it.
        self._camera.configure(
            self._camera.create_video_configuration(
                main={"size": size, "format": "RGB888"}, controls={"FrameRate": mode.fps} if mode.fps else {}
            )
        )
        self._camera.start()
        given = self._camera.camera_configuration()["main"]["size"]
        self.mode = Mode(given[0], given[1], mode.fps, "BGR3")

    def read(self) -> np.ndarray | None:
        job = self._camera.capture_array("main", wait=False)
        try:
            return np.ascontiguousarray(self._camera.wait(job, timeout=SILENCE)[:, :, :3])
        except TimeoutError as error:
            raise OSError("no frame") from error

    def close(self) -> None:
        self._camera.close()


class StandardInput:
    """JPEGs one after the other on standard input, as `rpicam-vid --codec mjpeg -o -` writes them."""

    LARGEST = 1 << 25  # bytes without the end of a picture after which it is no stream of pictures

    def __init__(self, text: str, mode: Mode) -> None:
        if sys.stdin.isatty():
            raise UserError("--source -: expected JPEGs on standard input, found a terminal")
        self._descriptor = sys.stdin.fileno()
        self._bytes = bytearray()
        self.mode = Mode(fourcc="MJPG")

    def read(self) -> np.ndarray | None:
        while True:
            try:
                end = jpeg_end(self._bytes) if self._bytes.startswith(b"\xff\xd8") else None
            except ValueError:
                del self._bytes[:2]  # on to the next start of a picture
                continue
            if end is not None:
                picture = bytes(self._bytes[:end])
                del self._bytes[:end]
                try:
                    return decode_picture(picture)
                except ValueError:
                    continue
            start = self._bytes.find(b"\xff\xd8", 0 if len(self._bytes) < self.LARGEST else 1)
            if start > 0:
                del self._bytes[:start]
                continue
            if start < 0:
                del self._bytes[:-1]
            if not select.select([self._descriptor], [], [], 0.2)[0]:
                return None
            more = os.read(self._descriptor, 1 << 20)
            if not more:
                raise EndOfSource
            self._bytes += more

    def close(self) -> None:
        pass


class TestPattern:
    """A moving pattern with the time drawn in: a camera for machines that have none."""

    __test__ = False

    def __init__(self, text: str, mode: Mode) -> None:
        width, height, fps = mode.width or 640, mode.height or 480, mode.fps or 30.0
        self.mode = Mode(width, height, fps)
        self._draw = partial(draw, width, height)
        self._pause = 1 / fps
        self._due = time.monotonic()

    def read(self) -> np.ndarray | None:
        now = time.monotonic()
        self._due = max(self._due + self._pause, now)
        time.sleep(self._due - now)
        return self._draw(time.monotonic())

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Found:
    """A camera that is there: what `--source` takes for it, its name, and one line a mode."""

    source: str
    name: str
    modes: tuple[str, ...] = ()


def list_sources() -> list[Found]:
    """The cameras of this machine; their modes where linuxpy or picamera2 can tell them."""
    found = []
    for entry in sorted(Path("/sys/class/video4linux").glob("video*"), key=lambda path: int(path.name[5:])):
        with contextlib.suppress(OSError):
            found.append(Found(f"/dev/{entry.name}", (entry / "name").read_text().strip(), _kernel_modes(entry.name)))
    with contextlib.suppress(ImportError, RuntimeError):
        from picamera2 import Picamera2

        for camera in Picamera2.global_camera_info():
            found.append(Found(f"picamera2:{camera['Num']}", camera["Model"]))
    return found


def _kernel_modes(name: str) -> tuple[str, ...]:
    """Formats, sizes and rates of /dev/NAME, through linuxpy if it is installed."""
    try:
        from linuxpy.video.device import Device

        with Device(f"/dev/{name}") as device:
            kinds = device.info.frame_types
    except (ImportError, OSError):
        return ()
    rates: dict[tuple[str, int, int], float] = {}
    for kind in kinds:
        key = kind.pixel_format.name, int(kind.width), int(kind.height)
        rates[key] = max(rates.get(key, 0.0), float(kind.max_fps))
    return tuple(f"{code} {width}x{height}, up to {fps:g} frames/s" for (code, width, height), fps in rates.items())
