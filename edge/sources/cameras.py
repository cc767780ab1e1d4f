"""The cameras of this machine: those that the kernel knows (USB), and those on a ribbon cable (picamera2)."""

import contextlib
import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.errors import UserError
from edge.sources.base import Away, Mode, capture_mode
from edge.sources.live import SILENCE


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
        if not self._node.exists():
            raise Away(f"--source: expected a camera at {device}, found none{_hint(device)}")
        self._capture = cv2.VideoCapture(str(self._node), cv2.CAP_V4L2)
        for key, value in settings:
            if value is not None:
                self._capture.set(key, value)
        if not self._capture.isOpened():
            self.close()
            raise Away(f"--source: expected a camera at {device}, found none that opens{_hint(device)}")
        self.mode = capture_mode(self._capture)

    def grab(self) -> bool:
        found = self._capture.grab()
        if not found and not self._node.exists():
            raise OSError("it was unplugged")  # at once: while it is held, the kernel does not give its number again
        return found

    def retrieve(self) -> np.ndarray | None:
        found, image = self._capture.retrieve()
        return image if found else None

    def close(self) -> None:
        self._capture.release()


def _hint(device: str, tree: Path = Path("/proc/device-tree/model")) -> str:
    """Why there may be none: no such device, no right to it, or a ribbon-cable camera, which OpenCV cannot see."""
    if Path(device).exists() and not os.access(device, os.R_OK | os.W_OK):
        return "; no right to use it: sudo usermod -aG video $USER, then log in again"
    if Path(device).exists() and _captures(Path(device)):
        return f"; is another program using it? fuser -v {device}"
    with contextlib.suppress(OSError):
        if "Raspberry Pi" in tree.read_text():
            return "; OpenCV does not see ribbon-cable cameras on Raspberry Pi OS: for one, use --source picamera2"
    return "; python -m edge run --list-sources names what there is"


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
            raise _ribbon_away(text, number, error) from error
        size = mode.width or 640, mode.height or 480
        controls = {"FrameRate": max(1.0, mode.fps)} if mode.fps else {}  # fewer: too long between two frames
        try:
            # What libcamera calls RGB888 lies in memory as B, G, R: the frame as OpenCV wants it.
            main = {"size": size, "format": "RGB888"}
            self._camera.configure(self._camera.create_video_configuration(main=main, controls=controls))
            self._camera.start()
            given = self._camera.camera_configuration()["main"]["size"]
        except Exception as error:
            self.close()  # else it is busy for everybody, this process too
            raise _ribbon_away(text, number, error) from error
        self.mode = Mode(given[0], given[1], mode.fps, "BGR3")
        self._image: np.ndarray | None = None

    def grab(self) -> bool:
        job = self._camera.capture_array("main", wait=False)
        try:
            self._image = self._camera.wait(job, timeout=SILENCE)
        except TimeoutError as error:
            raise OSError("no frame") from error
        return True

    def retrieve(self) -> np.ndarray | None:
        return None if self._image is None else np.ascontiguousarray(self._image[:, :, :3])

    def close(self) -> None:
        self._camera.close()


def _ribbon_away(text: str, number: int, error: BaseException) -> Away:
    """Why a camera did not open; picamera2 tells it in what its own error came of."""
    reasons: list[BaseException] = []
    while error is not None and error not in reasons:
        reasons.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    first, port = reasons[-1], f"--source: {text}: expected a camera on the ribbon-cable port {number}"
    if any("busy" in str(each).lower() or getattr(each, "errno", None) == errno.EBUSY for each in reasons):
        return Away(f"{port}, found one that is busy: another program uses it")
    if any(isinstance(each, IndexError) for each in reasons):
        return Away(f"{port}, found none; rpicam-hello --list-cameras names what there is")
    return Away(f"{port}, found one that does not start: {first}")


@dataclass(frozen=True)
class Found:
    """A camera that is there: what `--source` takes for it, its name, and one line a mode."""

    source: str
    name: str
    modes: tuple[str, ...] = ()


def list_sources() -> list[Found]:
    """The cameras of this machine; the modes of USB cameras where linuxpy can tell them."""
    found = []
    for entry in sorted(Path("/sys/class/video4linux").glob("video*"), key=lambda path: int(path.name[5:])):
        if not _captures(Path("/dev") / entry.name):
            continue
        with contextlib.suppress(OSError):
            found.append(Found(f"/dev/{entry.name}", (entry / "name").read_text().strip(), _kernel_modes(entry.name)))
    with contextlib.suppress(ImportError, RuntimeError):
        from picamera2 import Picamera2

        for camera in Picamera2.global_camera_info():
            found.append(Found(f"picamera2:{camera['Num']}", camera["Model"]))
    return found


# linux/videodev2.h: struct v4l2_capability, its ioctl, and the flags of a node that gives pictures, of one that gives
# or takes them in conversions (a codec), and of one whose own flags stand in device_caps.
_CAPABILITY, _QUERYCAP = struct.Struct("=16s32s32sIII12x"), 0x80685600
_CAPTURE, _CONVERTS, _OWN = 0x1 | 0x1000, 0x8000 | 0x4000, 0x80000000


def _captures(node: Path) -> bool:
    """Whether a node gives pictures: a camera has others for metadata, and codecs have nodes too."""
    try:
        handle = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return True  # busy or closed to us, but there
    try:
        answer = fcntl.ioctl(handle, _QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:
        return False
    finally:
        os.close(handle)
    return is_capture(answer)


def is_capture(answer: bytes) -> bool:
    """Whether the answer to VIDIOC_QUERYCAP is that of a camera."""
    *_, all_flags, own = _CAPABILITY.unpack(answer)
    flags = own if all_flags & _OWN else all_flags
    return bool(flags & _CAPTURE) and not flags & _CONVERTS


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
