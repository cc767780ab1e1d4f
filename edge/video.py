"""Sinks that show or keep annotated frames: a video file, a sheet, a window."""

import os
import re
import shutil
import subprocess
import sys
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from edge.classifier import Classifier
from edge.errors import UserError
from edge.files import whole
from edge.overlay import annotate, contact_sheet
from edge.preprocess import resize
from edge.quiet import quiet
from edge.sinks import Ended, Moment, Sink
from edge.sources import Source

SPARE = 64 << 20  # bytes that a recording leaves free on the disk


def open_recorder(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Recorder(Path(options.record), source.mode.fps or 10.0)


def open_sheet(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Sheet(Path(options.sheet))


def open_window(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Window()


class Recorder(Sink):
    """An annotated video. All frames get the size of the first; the file appears when it is complete.

    Before the disk is full the video is closed, and what it has so far is kept.
    """

    depth = 8  # frames are large

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in (".mp4", ".avi"):
            raise UserError(f"--record: expected a name that ends in .mp4 or .avi, found {path}")
        self.path, self.fps = path, fps
        self._stack = ExitStack()
        try:
            self._part = self._stack.enter_context(whole(path))
        except OSError as error:
            raise UserError(f"--record: {path}: expected a file to write, found: {error.strerror}") from error
        self._writer: cv2.VideoWriter | None = None
        self._frames = 0
        self._finished = False

    def write(self, moment: Moment) -> None:
        image = moment.frame.image
        if self._finished:
            raise OSError(f"{self.path} was closed after {self._frames} frames: the disk is nearly full")
        if self._frames % 32 == 0 and shutil.disk_usage(self.path.parent).free < SPARE:
            self.close()
            return self.write(moment)
        if self._writer is None:
            height, width = image.shape[:2]
            self.size = height - height % 2, width - width % 2  # encoders want even sides
            code = cv2.VideoWriter.fourcc(*("mp4v" if self.path.suffix.lower() == ".mp4" else "MJPG"))
            with quiet():
                self._writer = cv2.VideoWriter(str(self._part), code, self.fps, self.size[::-1])
            if not self._writer.isOpened():
                raise UserError(f"{self.path}: OpenCV cannot write this video")
        if image.shape[:2] != self.size:
            image = resize(image, self.size, "pad")
        self._writer.write(annotate(image, moment.result, f"{moment.result.ms['total']:.0f} ms"))
        self._frames += 1

    def close(self) -> None:
        if self._finished:
            return
        self._finished = True
        if self._writer is None:
            self._stack.pop_all()
            self._part.unlink(missing_ok=True)
            return
        self._writer.release()
        self._stack.close()


class Sheet(Sink):
    """A picture of annotated frames side by side, spread evenly over the run however long it is."""

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
            cv2.imwrite(str(part), contact_sheet([self._kept[i] for i in places], self.COLUMNS, self.SIDE))


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

    def tick(self) -> None:
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
