"""Sinks that show or keep annotated frames: a video file, a sheet, a window."""

import os
import re
import subprocess
import sys
import time
from argparse import Namespace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from edge.errors import UserError
from edge.files import nearly_full, sync, unused, whole
from edge.model.classifier import Classifier
from edge.model.preprocess import resize
from edge.quiet import quiet
from edge.sinks.base import Ended, Moment, Sink
from edge.sinks.overlay import annotate, contact_sheet
from edge.sinks.parts import Keep
from edge.sources.base import Signal, Source
from edge.text import utf8

LONGEST = 10.0  # seconds for which a recording of a live source shows one frame, however long the camera was silent
LARGEST = 1920  # pixels of a recording's longer side: an encoder of 12 megapixels takes 200 MB and keeps no rate
EVERY = 32  # frames between two looks at the disk
# Suffix to codec and the suffix by which FFmpeg picks the container. An MP4 file has its index at the end, and is lost
# if the end does not come. The same in fragments, each with an index of its own, is what FFmpeg makes of the name .ismv
# (OpenCV has no option for it), and what reads the one reads the other.
_FORMATS = {".mp4": ("mp4v", ".ismv"), ".avi": ("MJPG", ".avi")}
_BRANDS = {b"isml": b"isom", b"piff": b"iso2"}  # in the first bytes: what FFmpeg puts there, and what an MP4 file has


def open_recorder(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Recorder(Path(options.record), source.mode.fps or 10.0, source.live, options.keep)


def open_sheet(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Sheet(Path(options.sheet))


def open_window(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Window()


class Recorder(Sink):
    """An annotated video. All frames get the size of the first, made smaller if it is larger than `LARGEST`.

    Of a file every frame is written once. Of a live source each is written as often as keeps the time: the video has
    the camera's rate, at which frames are seldom classified.

    The file appears when it is complete. Until then it is NAME.unfinished.mp4, which can be read at any moment. What a
    run that was cut off left of it, the next one keeps as NAME-<time>.mp4. Before the disk is full the video is closed.
    With `keep` it is a video in parts, NAME-<time>.mp4.
    """

    pictures = True
    depth = 8  # frames are large

    def __init__(self, path: Path, fps: float, live: bool = False, keep: Keep | None = None) -> None:
        self.suffix = Path(utf8(path)).suffix.lower()
        if self.suffix not in _FORMATS:
            raise UserError(f"--record: expected a name that ends in .mp4 or .avi, found {path}")
        self.path, self.fps, self.live, self.keep = path, fps, live, keep
        self._part = path.with_name(f"{path.stem}.unfinished{self.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _recover(self._part, path)
            self._part.touch()  # that it can be written is told now
        except OSError as error:
            raise UserError(f"--record: {path}: expected a file to write, found: {error.strerror}") from error
        self._last = float("-inf")  # when the last frame was captured
        self._begin()

    def _begin(self) -> None:
        self._writer: cv2.VideoWriter | None = None
        self._frames = 0  # in the video
        self._due = 0.0  # as many should be
        self._started = time.time()
        self._finished = False

    def write(self, moment: Moment) -> None:
        if self._finished:
            raise OSError(f"{self.path} was closed after {self._frames} frames: the disk is nearly full")
        if self.keep and self._frames >= EVERY and self.keep.is_full(self._started, self._part.stat().st_size):
            self.close()
            self._begin()
        self._due += self._share(moment.frame.captured)
        if self._frames >= round(self._due):
            return
        image = moment.frame.image
        writer = self._writer = self._writer or self._open(image)
        if image.shape[:2] != self.size:
            image = resize(image, self.size, "pad")
        image = annotate(image, moment.result, f"{moment.result.ms['total']:.0f} ms")
        while self._frames < round(self._due):
            if self._frames % EVERY == 0 and nearly_full(self.path.parent):
                self.close()
                return self.write(moment)
            writer.write(image)
            self._frames += 1

    def _share(self, captured: float) -> float:
        """How many frames of the video the time since the last frame makes."""
        passed, first = captured - self._last, self._due == 0
        self._last = captured
        return min(passed, LONGEST) * self.fps if self.live and not first else 1.0

    def _open(self, image: np.ndarray) -> cv2.VideoWriter:
        scale = min(1.0, LARGEST / max(image.shape[:2]))
        height, width = (round(side * scale) for side in image.shape[:2])
        self.size = max(2, height - height % 2), max(2, width - width % 2)  # encoders want even sides
        code, suffix = _FORMATS[self.suffix]
        opened = self._part.with_suffix(suffix)
        with quiet():
            writer = cv2.VideoWriter(str(opened), cv2.VideoWriter.fourcc(*code), self.fps, self.size[::-1])
        if not writer.isOpened():
            raise UserError(f"{self.path}: OpenCV cannot write this video")
        opened.replace(self._part)
        with self._part.open("rb+") as file:
            start = file.read(24)
            for brand, other in _BRANDS.items():
                start = start.replace(brand, other)
            file.seek(0)
            file.write(start)
        return writer

    def close(self) -> None:
        if self._finished:
            return
        self._finished = True
        if self._writer is not None:
            self._writer.release()
        if not self._frames:
            self._part.unlink(missing_ok=True)
            return
        sync(self._part)
        if self.keep:
            self.keep.file_away(self._part, self.path)
        else:
            self._part.replace(self.path)


def _recover(part: Path, path: Path) -> None:
    """Keep the video that a run which was cut off left, under a name of its own, if there is a frame in it."""
    if not part.exists():
        return
    with quiet():
        capture = cv2.VideoCapture(str(part))
        found = capture.read()[0]
        capture.release()
    if not found:
        part.unlink()
        return
    when = datetime.fromtimestamp(part.stat().st_mtime)
    kept = unused(path.with_name(f"{path.stem}-{when:%Y%m%d-%H%M%S}{path.suffix}"))
    part.rename(kept)
    print(f"record: {kept} is what a run that was cut off had recorded", file=sys.stderr, flush=True)


class Sheet(Sink):
    """A picture of annotated frames side by side, spread evenly over the run however long it is."""

    pictures = True
    depth = 8  # frames are large
    MOST, COLUMNS, SIDE = 48, 8, 200

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in (".png", ".jpg"):
            raise UserError(f"--sheet: expected a name that ends in .png or .jpg, found {path}")
        try:
            with whole(path.parent / f"{path.name}.part"):
                pass  # that it can be written is told now, not at the end of a long run
            path.with_name(f"{path.name}.part").unlink()
        except OSError as error:
            raise UserError(f"--sheet: {path}: expected a file to write, found: {error.strerror}") from error
        self.path = path
        self._kept: list[np.ndarray] = []
        self._seen, self._stride = 0, 1

    def write(self, moment: Moment) -> None:
        if self._seen % self._stride == 0:
            if len(self._kept) == 2 * self.MOST:  # keep every other one, and from now on half as many
                self._kept = self._kept[::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                image = resize(moment.frame.image, (self.SIDE, self.SIDE), "pad")
                self._kept.append(annotate(image, moment.result))
        self._seen += 1

    def close(self) -> None:
        if not self._kept:
            return
        places = np.linspace(0, len(self._kept) - 1, min(self.MOST, len(self._kept))).round().astype(int)
        with whole(self.path) as part:
            sheet = contact_sheet([self._kept[i] for i in places], self.COLUMNS, self.SIDE)
            part.write_bytes(cv2.imencode(part.suffix, sheet)[1].tobytes())


class Window(Sink):
    """A window on the screen; `q`, Escape or closing it ends the run."""

    TITLE = "FrostLite"

    def __init__(self) -> None:
        self._sized = self._seen = False
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UserError("--window: expected a display, found none (DISPLAY is not set); try --preview 8080")
        if not re.search(r"GUI: +(?!NONE)\S", cv2.getBuildInformation()):
            raise UserError(
                "--window: this OpenCV was built without windows; try --preview 8080, or: pip uninstall -y "
                "opencv-python-headless; pip install opencv-python"
            )
        # A display that refuses ends the process (Qt aborts it): let that be another one's end.
        code = "import cv2; cv2.namedWindow('-')"
        if subprocess.run([sys.executable, "-c", code], capture_output=True).returncode:
            raise UserError("--window: the display does not take a window; try --preview 8080")
        cv2.namedWindow(self.TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)

    def write(self, moment: Moment) -> None:
        self.show(annotate(moment.frame.image, moment.result, f"{moment.fps:.0f} frames/s"))

    def show(self, image: np.ndarray) -> int:
        """Show a BGR uint8 picture (height, width, 3); the key that was pressed, as ord() gives it, or 255 for none.

        Raises:
            Ended: if the user closed the window, or pressed a key that does.
        """
        if not self._sized:
            cv2.resizeWindow(self.TITLE, image.shape[1], image.shape[0])
            self._sized = True
        cv2.imshow(self.TITLE, image)
        return self.key()

    def tick(self, signal: Signal) -> None:
        self.key()

    def key(self) -> int:
        pressed = cv2.waitKey(1) & 0xFF
        visible = cv2.getWindowProperty(self.TITLE, cv2.WND_PROP_VISIBLE) >= 1
        if pressed in (27, ord("q")) or (self._seen and not visible):  # it takes a moment to appear
            raise Ended
        self._seen = self._seen or visible
        return pressed

    def close(self) -> None:
        cv2.destroyAllWindows()
