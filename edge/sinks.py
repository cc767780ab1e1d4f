"""Where results go: any number of sinks at once, each with `write` and `close`."""

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edge.classifier import Result
from edge.errors import UserError
from edge.files import whole
from edge.overlay import annotate, contact_sheet
from edge.preprocess import resize
from edge.sources import Frame


class Sink(Protocol):
    """Takes each frame with its result; `fps` is the rate of the last moments."""

    def write(self, frame: Frame, result: Result, fps: float) -> None: ...

    def close(self) -> None: ...


def as_json(frame_index: int, source: str, result: Result) -> dict[str, Any]:
    """One result as the object that `--json` prints."""
    return {
        "source": source,
        "frame": frame_index,
        "label": result.label,
        "score": round(result.score, 4),
        "top": [[label, round(score, 4)] for label, score in result.top],
        "ms": {stage: round(value, 2) for stage, value in result.ms.items()},
    }


class JsonLines:
    """One JSON object a frame on standard output."""

    def write(self, frame: Frame, result: Result, fps: float) -> None:
        print(json.dumps(as_json(frame.index, frame.source, result), ensure_ascii=False), flush=True)

    def close(self) -> None:
        pass


class Terminal:
    """One line a frame: rewritten in place on a terminal, else a line each."""

    def write(self, frame: Frame, result: Result, fps: float) -> None:
        scores = "  ".join(f"{label} {score:.1%}" for label, score in result.top)
        stages = ", ".join(f"{stage} {value:.1f}" for stage, value in result.ms.items())
        line = f"{Path(frame.source).name} #{frame.index}: {scores}  ({fps:.1f} frames/s; ms: {stages})"
        if sys.stdout.isatty():
            print(f"\r\x1b[K{line[: os.get_terminal_size().columns - 1]}", end="", flush=True)
        else:
            print(line, flush=True)

    def close(self) -> None:
        if sys.stdout.isatty():
            print()


class Recorder:
    """An annotated video. All frames get the size of the first; the file appears when it is complete."""

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in (".mp4", ".avi"):
            raise UserError(f"--record: expected a name that ends in .mp4 or .avi, found {path}")
        self.path, self.fps = path, fps
        self._stack = ExitStack()
        self._part = self._stack.enter_context(whole(path))
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Frame, result: Result, fps: float) -> None:
        if self._writer is None:
            height, width = frame.image.shape[:2]
            self.size = height - height % 2, width - width % 2  # encoders want even sides
            code = cv2.VideoWriter.fourcc(*("mp4v" if self.path.suffix.lower() == ".mp4" else "MJPG"))
            self._writer = cv2.VideoWriter(str(self._part), code, self.fps, self.size[::-1])
            if not self._writer.isOpened():
                raise UserError(f"--record: {self.path}: OpenCV cannot write this video")
        image = frame.image if frame.image.shape[:2] == self.size else resize(frame.image, self.size, "pad")
        self._writer.write(annotate(image, result, f"{result.ms['total']:.0f} ms"))

    def close(self) -> None:
        if self._writer is None:
            self._stack.pop_all()
            self._part.unlink(missing_ok=True)
            return
        self._writer.release()
        self._stack.close()


class Sheet:
    """A picture of annotated frames side by side, spread evenly over the run however long it is."""

    MOST, COLUMNS, SIDE = 48, 8, 200

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in (".png", ".jpg"):
            raise UserError(f"--sheet: expected a name that ends in .png or .jpg, found {path}")
        self.path = path
        self._kept: list[np.ndarray] = []
        self._seen, self._stride = 0, 1

    def write(self, frame: Frame, result: Result, fps: float) -> None:
        if self._seen % self._stride == 0:
            if len(self._kept) == 2 * self.MOST:  # keep every other one, and from now on half as many
                self._kept = self._kept[::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self._kept.append(annotate(resize(frame.image, (self.SIDE, self.SIDE), "pad"), result))
        self._seen += 1

    def close(self) -> None:
        if not self._kept:
            return
        places = np.linspace(0, len(self._kept) - 1, min(self.MOST, len(self._kept))).round().astype(int)
        with whole(self.path) as part:
            cv2.imwrite(str(part), contact_sheet([self._kept[i] for i in places], self.COLUMNS, self.SIDE))


class Window:
    """A window on the screen; `q`, Escape or closing it ends the run."""

    TITLE = "FrostLite"

    def __init__(self) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UserError("--window: expected a display, found none (DISPLAY is not set); try --record out.mp4")
        try:
            cv2.namedWindow(self.TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise UserError(
                "--window: this OpenCV was built without windows; try: pip uninstall -y opencv-python-headless; "
                "pip install opencv-python"
            ) from error

    def write(self, frame: Frame, result: Result, fps: float) -> None:
        cv2.imshow(self.TITLE, annotate(frame.image, result, f"{fps:.0f} frames/s"))
        if cv2.waitKey(1) & 0xFF in (27, ord("q")) or cv2.getWindowProperty(self.TITLE, cv2.WND_PROP_VISIBLE) < 1:
            raise KeyboardInterrupt

    def close(self) -> None:
        cv2.destroyAllWindows()
