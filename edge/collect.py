"""Frames kept for the next training: `collect`, the page's button, and `run --save-uncertain`.

All of them write DIR/<label>/<time>.jpg: a folder that `make train DATA=DIR` takes as it is. A name that ends with
`-<label>-unsure.jpg` is the mark of the last one, which deletes its oldest.
"""

import re
import sys
import threading
import time
from argparse import Namespace
from collections import deque
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from edge.classifier import Classifier
from edge.errors import UserError
from edge.files import nearly_full, unused, whole
from edge.sinks import Ended, Moment, Sink
from edge.sources import Source

MARGIN = 0.2  # a lead of the best score over the second that is smaller makes a frame uncertain
EVERY = 2.0  # seconds between two uncertain frames that are saved
LIMIT = 500 << 20  # bytes of uncertain frames, after which the oldest are deleted
_SAVE = (ord(" "), ord("\r"), ord("\n"))  # keys in the window
_QUALITY = 95  # of the JPEGs, 0 to 100
_LONGEST = 180  # bytes of a label in the name of a file, which has 255


def check_label(label: str) -> str:
    """A label that is fit for a folder's name.

    Raises:
        UserError: if it is not.
    """
    label = label.strip()
    if not label.isprintable() or not re.fullmatch(r'[^.\\/:*?"<>|][^\\/:*?"<>|]{0,79}', label):
        raise UserError(f"expected a label that can name a folder, found {label!r}")
    return label


class SaveFolder:
    """A folder with one folder of JPEGs per label."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._counts: dict[str, int] | None = None
        self._lock = threading.Lock()

    def counts(self) -> dict[str, int]:
        """Label to the number of its pictures; those that were there before count too."""
        with self._lock:
            if self._counts is None:
                folders = sorted(path for path in self.root.glob("*") if path.is_dir()) if self.root.is_dir() else []
                self._counts = {path.name: sum(1 for _ in path.glob("[!.]*.jpg")) for path in folders}
            return dict(self._counts)

    def save(self, label: str, image: np.ndarray, mark: str = "") -> Path:
        """Write a BGR uint8 frame (height, width, 3), whole or not at all; the path that it got: the time and `mark`.

        Raises:
            UserError: if the label cannot name a folder, or the disk does not take it.
        """
        label = check_label(label)
        self.counts()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if nearly_full(self.root):
                raise UserError(f"{self.root}: the disk is nearly full: nothing is saved")
            path = unused(self.root / label / f"{datetime.now().strftime('%Y%m%d-%H%M%S-%f')[:-3]}{mark}.jpg")
            with whole(path) as part:
                part.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())
        except OSError as error:
            raise UserError(f"{self.root}: cannot save there: {error.strerror}") from error
        with self._lock:
            assert self._counts is not None
            self._counts[label] = self._counts.get(label, 0) + 1
        return path


def open_uncertain(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    root = Path(options.save_uncertain)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--save-uncertain: {root}: expected a folder to write, found: {error.strerror}") from error
    return Uncertain(root)


class Uncertain(Sink):
    """Saves frames with a small margin or an unknown answer, under the label that was the best.

    Look through the folder, move what is wrong, and train on it. No more than one frame in `every` seconds, and no
    more than `limit` bytes: the oldest are deleted first. Only pictures that this made are ever deleted, and only in
    the folder of the label in their name: one that was moved to another folder, or renamed, is the user's.
    """

    pictures = True
    depth = 4  # frames are large

    def __init__(self, root: Path, every: float = EVERY, limit: int = LIMIT) -> None:
        self.folder, self.every, self.limit = SaveFolder(root), every, limit
        self._next = 0.0
        old = sorted(filter(_is_unsure, root.glob("*/[0-9]*.jpg")), key=lambda path: path.stem)
        self._kept = deque((path, path.stat().st_size) for path in old)
        self._bytes = sum(size for _, size in self._kept)

    def write(self, moment: Moment) -> None:
        now, top = time.monotonic(), moment.result.top
        sure = moment.result.label == top[0][0] and (len(top) < 2 or top[0][1] - top[1][1] >= MARGIN)
        if sure or now < self._next:
            return
        self._next = now + self.every
        label = _as_folder(top[0][0])
        path = self.folder.save(label, moment.frame.image, f"-{label}-unsure")
        size = path.stat().st_size
        self._kept.append((path, size))
        self._bytes += size
        while self._bytes > self.limit and len(self._kept) > 1:
            oldest, size = self._kept.popleft()
            oldest.unlink(missing_ok=True)  # sorted away by the user, perhaps
            self._bytes -= size


def _is_unsure(path: Path) -> bool:
    """Whether `Uncertain` wrote a picture, and where it is."""
    return bool(re.fullmatch(rf"\d{{8}}-\d{{6}}-\d{{3}}-{re.escape(path.parent.name)}-unsure(-\d+)?", path.stem))


def _as_folder(label: str) -> str:
    """A label of any model as a folder's name, short enough to be in a file's name too."""
    label = re.sub(r'[\\/:*?"<>|]', "_", label).strip(". ")[:80]
    return label.encode()[:_LONGEST].decode(errors="ignore").strip(". ") or "label"


def collect(options: Namespace) -> int:
    """`python -m edge collect`: save frames of a camera under a label, in a burst or one for each press of a key."""
    from edge.live import termination
    from edge.overlay import caption
    from edge.sources import Mode, open_source
    from edge.view import make_view

    label = check_label(options.label)
    folder = SaveFolder(options.out)
    view = make_view(options.rotate, options.mirror, options.roi)
    burst = options.count is not None
    if not burst and not sys.stdin.isatty() and not (options.preview or options.window):
        raise UserError(
            "collect: expected --count N for a burst, --preview PORT for a button, --window for its keys, or a "
            "terminal for Enter"
        )
    source = open_source(options.source, Mode(options.width, options.height, options.fps, options.fourcc))
    pressed, saved, due = threading.Event(), 0, 0.0
    page = window = None
    try:
        if options.window:
            from edge.video import Window

            window = Window()
        if options.preview:
            from edge.preview import Preview

            page = Preview(options.preview, source.name, folder, labels=(label,), model=[], label=label)
        if not burst and sys.stdin.isatty():
            print(f"Enter saves a frame as {label}, Ctrl-C ends", file=sys.stderr)
            threading.Thread(target=_follow_keys, args=(pressed,), daemon=True).start()
        with termination():
            for frame in source:
                if frame is None:
                    if window is not None:
                        window.tick()
                    continue
                image = view(frame.image)
                if page is not None:
                    page.show(image)
                if window is not None:
                    counts = ", ".join(f"{name} {count}" for name, count in folder.counts().items())
                    if window.show(caption(image, f"Space: {label}   q: end   {counts}")) in _SAVE:
                        pressed.set()
                if (time.monotonic() >= due) if burst else pressed.is_set():
                    pressed.clear()
                    due = time.monotonic() + options.every if source.live else 0.0
                    print(folder.save(label, image), flush=True)
                    saved += 1
                    if burst and saved >= options.count:
                        break
    except (KeyboardInterrupt, Ended):
        pass  # the usual ways to end
    finally:
        source.close()
        for shown in (page, window):
            if shown is not None:
                shown.close()
    counts = ", ".join(f"{name} {count}" for name, count in folder.counts().items())
    print(f"{options.out}: {counts or 'nothing yet'}", file=sys.stderr)
    return 0


def _follow_keys(pressed: threading.Event) -> None:
    for _ in sys.stdin:
        pressed.set()
