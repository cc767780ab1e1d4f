"""`run --save-uncertain`: frames that the model is not sure of, for a person to sort. The oldest go when it is full."""

import re
import time
from argparse import Namespace
from collections import deque
from pathlib import Path

import cv2
import numpy as np

from edge.drift import Drift
from edge.errors import UserError
from edge.files import nearly_full
from edge.model.classifier import Classifier
from edge.sinks.base import Moment, Sink
from edge.sources.base import Signal, Source
from edge.store import SaveFolder, as_folder

MARGIN = 0.2  # a lead of the best score over the second that is smaller makes a frame uncertain
EVERY = 2.0  # seconds between two uncertain frames that are saved
LIMIT = 500 << 20  # bytes of uncertain frames, after which the oldest are deleted
RECENT = 256  # frames that a new one is compared with
_SIDE = 8  # cells of a fingerprint, each way
_NEW = 20  # of 255: a cell that differs by more shows something new; noise and light that changes stay below


def open_uncertain(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    root = Path(options.save_uncertain)
    try:
        return Uncertain(root)
    except OSError as error:
        raise UserError(f"--save-uncertain: {root}: expected a folder to write, found: {error.strerror}") from error


class Uncertain(Sink):
    """Saves frames with a small margin or an unknown answer, and those that show a drift, under the best label.

    Look through the folder, move what is wrong, and train on it. No more than one frame in `every` seconds, none that
    looks like one that is there (a scene that stands still would push everything else out), and no more than `limit`
    bytes: the oldest are deleted first. On a disk that is nearly full each deletes as much as it takes. Only pictures
    that this made are ever deleted, and only in the folder of the label in their name: one that was moved to another
    folder, or renamed, is the user's.
    """

    pictures = True
    depth = 4  # frames are large

    def __init__(self, root: Path, every: float = EVERY, limit: int = LIMIT) -> None:
        self.folder, self.every, self.limit = SaveFolder(root), every, limit
        self._next = 0.0
        self._drift: Drift | None = None
        root.mkdir(parents=True, exist_ok=True)
        old = sorted(filter(_is_unsure, root.glob("*/[0-9]*.jpg")), key=lambda path: path.stem)
        self._kept = deque((path, path.stat().st_size) for path in old)
        self._bytes = sum(size for _, size in self._kept)
        seen = (cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_REDUCED_COLOR_2) for path in old[-RECENT:])
        self._seen = deque((fingerprint(image) for image in seen if image is not None), maxlen=RECENT)

    def write(self, moment: Moment) -> None:
        now, top = time.monotonic(), moment.result.top
        sure = moment.result.label == top[0][0] and (len(top) < 2 or top[0][1] - top[1][1] >= MARGIN)
        drift, likeness = self._drift, moment.result.likeness
        if drift and drift.evidence > 1 and likeness is not None and likeness < drift.usual:
            sure = False
        if sure or now < self._next:
            return
        mark = fingerprint(moment.frame.image)
        if self._seen and np.abs(np.stack(self._seen) - mark).max(axis=(1, 2, 3)).min() < _NEW:
            return
        self._next = now + self.every
        label = as_folder(top[0][0])
        full, room = nearly_full(self.folder.root), 0
        while full and self._kept and room < moment.frame.image.nbytes // 4:  # what its JPEG may take
            room += self._delete_oldest()
        path = self.folder.save(label, moment.frame.image, f"-{label}-unsure", even_if_full=room > 0)
        self._seen.append(mark)
        size = path.stat().st_size
        self._kept.append((path, size))
        self._bytes += size
        while self._bytes > self.limit and len(self._kept) > 1:
            self._delete_oldest()

    def tick(self, signal: Signal) -> None:
        self._drift = signal.drift

    def _delete_oldest(self) -> int:
        """The bytes that it gave back: none if the user sorted it away."""
        oldest, size = self._kept.popleft()
        self._bytes -= size
        try:
            oldest.unlink()
        except OSError:
            return 0
        return size


def fingerprint(image: np.ndarray) -> np.ndarray:
    """What a BGR uint8 frame (height, width, 3) shows, coarsely, whatever the light: float32 (8, 8, 3), mean 128."""
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return small * (128 / max(1.0, float(small.mean())))


def _is_unsure(path: Path) -> bool:
    """Whether `Uncertain` wrote a picture, and where it is."""
    return bool(re.fullmatch(rf"\d{{8}}-\d{{6}}-\d{{3}}-{re.escape(path.parent.name)}-unsure(-\d+)?", path.stem))
