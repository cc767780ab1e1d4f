"""`run --save-uncertain`: frames that the model is not sure of, for a person to sort. The oldest go when it is full."""

import re
import time
from argparse import Namespace
from collections import deque
from pathlib import Path

from edge.errors import UserError
from edge.model.classifier import Classifier
from edge.sinks.base import Moment, Sink
from edge.sources.base import Source
from edge.store import SaveFolder, as_folder

MARGIN = 0.2  # a lead of the best score over the second that is smaller makes a frame uncertain
EVERY = 2.0  # seconds between two uncertain frames that are saved
LIMIT = 500 << 20  # bytes of uncertain frames, after which the oldest are deleted


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
        label = as_folder(top[0][0])
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
