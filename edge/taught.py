"""Labels that are taught on the device: the frames, what was learnt from them, and the file that has it."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.errors import UserError
from edge.files import whole
from edge.folder import find_pictures
from edge.model.classifier import BETWEEN, UNKNOWN, UNLIKE
from edge.model.contract import HEAD_FILE, LABELS_FILE, ModelFile, append_files
from edge.model.head import softmax
from edge.model.kept import keep, kept, most
from edge.model.lesson import Lesson, learn
from edge.model.likeness import Bank, choose, unit
from edge.pictures import read_picture
from edge.share import wilson
from edge.store import SaveFolder, as_folder, check_label

# Cosines of two frames of a label of which the second one shows nothing new. While a button is held: on photos, a shift
# by a twentieth gave 0.99, 15 degrees 0.92. A fixed camera may see no larger differences than that: what a
# button is pressed for anew is taken, but for a frame that is the same.
SAME, EQUAL = 0.97, 0.999999
_MOST = 2000  # frames: more would make a small device wait after each
_SPLITS = {"train", "validation", "val", "valid", "test"}
_SMALL = 160  # pixels of a thumbnail's longer side
Features = Callable[[np.ndarray], np.ndarray]
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Taken:
    """A frame that was taken: its label, its features, float32 (features,), its photo, and that photo small, a JPEG."""

    label: str
    features: np.ndarray
    path: Path
    small: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered now: the label or "unknown", why not, and the scores, float32 (labels,), of `labels`."""

    label: str
    why: str
    labels: tuple[str, ...]
    scores: np.ndarray


class Taught:
    """The state of a lesson. Safe to use from several threads.

    Args:
        file: whose features are used.
        widths: how many features each depth has.
        folder: where the photos of the frames are kept.
        keep_labels: go on from the labels that `file` has, by what it keeps of their pictures.

    Raises:
        UserError: if `file` keeps nothing and should.
    """

    def __init__(self, file: ModelFile, widths: list[int], folder: SaveFolder, keep_labels: bool = False) -> None:
        assert file.spec is not None
        self.file, self.spec, self.widths, self.folder = file, file.spec, widths, folder
        self.labels: list[str] = []
        self.frames: dict[int, Taken] = {}
        self.changes = 0  # how often it was learnt anew
        self._number = 0
        self._lock = threading.RLock()
        self._kept = np.empty((0, sum(widths)), np.float32), np.empty(0, np.int64)
        self._learnt: tuple[Lesson, tuple[str, ...], Bank] | None = None
        self._right: dict[str, tuple[int, int]] = {}
        if keep_labels:
            try:
                found = kept(file.files, file.spec)
            except ValueError as error:
                raise UserError(f"{file.path}: {error}") from error
            if found is None:
                raise UserError(
                    f"{file.path}: --keep: expected a file that keeps features of its training pictures, found none in "
                    "it; convert its run again, or teach its labels anew"
                )
            self._kept = found
            self.labels = list(file.spec.labels)

    def add_label(self, name: str) -> str:
        """A new label, or one that is there; its name.

        Raises:
            UserError: if it cannot name a folder.
        """
        name = check_label(name)
        if name.lower() in _SPLITS:
            raise UserError(f"expected another label than {name}: a folder of that name is a split in training")
        with self._lock:
            if name not in self.labels:
                if len(self.labels) >= 1000:
                    raise UserError("expected at most 1000 labels")
                self.labels.append(name)
                self.changes += 1
        return name

    def take(self, label: str, image: np.ndarray, features: np.ndarray, same: float = SAME) -> bool:
        """Take a BGR uint8 frame (height, width, 3) under a label that is there, keep its photo, and learn.

        Returns:
            False if a frame of the label is as like it as `same`, a cosine: then it is not taken.

        Raises:
            UserError: for another label, too many frames, or a disk that does not take the photo.
        """
        with self._lock:
            self._known(label)
            if self._nearest(label, features) > same:
                return False
            path = self.folder.save(as_folder(label), image)
            self._add(label, features, path, image)
            self.learn()
        return True

    def read(self, root: Path, features_of: Features, tell: Tell = lambda done, of: None) -> list[str]:
        """Take the photos of a folder that has a folder for each label, all of them; a line for each left out.

        Args:
            features_of: takes a BGR uint8 frame, and gives its features.
            tell: is told how many are done, and of how many.

        Raises:
            UserError: if it has no such folders.
        """
        found = find_pictures(root)
        inside = [path for path in found.pictures if len(path.relative_to(root).parts) > 1]
        loose = len(found.pictures) - len(inside)
        names = {as_folder(label): label for label in self.labels}
        skipped = [f"{root}: {loose} photos that are in no label's folder"] if loose else []
        tops = {path.relative_to(root).parts[0] for path in inside}
        if tops and {top.lower() for top in tops} <= _SPLITS:
            raise UserError(f"{root}: expected a folder for each label, found {', '.join(sorted(tops))}: give one")
        for done, path in enumerate(inside):
            tell(done, len(inside))
            top = path.relative_to(root).parts[0]
            try:
                image = read_picture(path)
                label = names[top] if top in names else self.add_label(top)
                if len(self.frames) >= _MOST:
                    raise UserError(f"{root}: more than {_MOST} photos; python -m train is made for so many")
                self._add(label, features_of(image), path, image)
            except UserError as error:
                skipped.append(str(error))
        return skipped

    def throw_out(self, numbers: Iterable[int]) -> int:
        """Forget frames, and set their photos aside; how many there were."""
        with self._lock:
            gone = [number for number in set(numbers) if number in self.frames]
            for number in gone:
                self.folder.set_aside(self.frames[number].path)
                del self.frames[number]
            if gone:
                self.learn()
        return len(gone)

    def learn(self) -> None:
        """Solve the head again."""
        with self._lock:
            self.changes += 1
            features, truth = self._all()
            used, truth = np.unique(truth, return_inverse=True)
            if len(used) < 2:
                self._learnt, self._right = None, {}
                return
            labels = tuple(self.labels[place] for place in used)
            lesson = learn(features, truth, len(labels), self._top())
            own, right = truth[len(self._kept[1]) :], lesson.right[len(self._kept[1]) :]
            self._right = {
                label: (int(right[own == place].sum()), int((own == place).sum())) for place, label in enumerate(labels)
            }
            self._learnt = lesson, labels, Bank(lesson.bank)

    def answer(self, features: np.ndarray) -> Answer | None:
        """What is answered to a frame's features, float32 (features,); None while there are not two labels."""
        if (learnt := self._learnt) is None:
            return None
        lesson, labels, bank = learnt
        scores = softmax(lesson.head.logits(features[None]))[0].astype(np.float32)
        likeness = float(bank.likeness(features[None, self._top()])[0])
        best = int(scores.argmax())
        why = UNLIKE if likeness < lesson.likeness else BETWEEN if scores[best] < lesson.threshold else ""
        return Answer(UNKNOWN if why else labels[best], why, labels, scores)

    def table(self) -> list[dict[str, Any]]:
        """Of each label: its name, how many frames it has and how many vectors are kept of it, and how many of the
        frames all others answer right, with the interval of 95 %."""
        with self._lock:
            held = np.bincount(self._kept[1], minlength=len(self.labels)).tolist()
            counts = Counter(frame.label for frame in self.frames.values())
            rows = []
            for place, label in enumerate(self.labels):
                count = counts[label]
                right, of = self._right.get(label, (0, 0))
                share = (
                    {"right": right, "of": of, "interval": [round(end, 3) for end in wilson(right, of)]} if of else {}
                )
                rows.append({"label": label, "frames": count, "kept": held[place], **share})
            return rows

    def save(self, path: Path) -> str:
        """Write the file: the same graph, with the head behind it; what was done, in words.

        Raises:
            UserError: if there is nothing to save, or the disk does not take it.
        """
        with self._lock:
            if self._learnt is None:
                raise UserError("expected frames of two labels or more, found fewer: nothing is saved")
            lesson, labels, _ = self._learnt
            if empty := [label for label in self.labels if label not in labels]:
                raise UserError(f"expected frames of each label, found none of {', '.join(empty)}: nothing is saved")
            features, truth = self._all()
        head = lesson.head.to_bytes()
        right = sum(right for right, _ in self._right.values())
        told = {"frames": len(self.frames), "kept": len(self._kept[1]), "right_left_out": right}
        spec = replace(
            self.spec,
            labels=labels,
            output="probabilities",
            temperature=1.0,
            threshold=float(lesson.threshold),
            likeness=lesson.likeness,
            usual=(),  # that of the photos before; of frames of one afternoon, the next morning would be a drift
            head=hashlib.sha256(head).hexdigest(),
            provenance={"taught": told},
        )
        chosen = choose(features[:, self._top()], truth, most(self.widths[-1]))
        # Other programs run the graph with the head it has: its own labels stay beside it.
        own = self.file.files.get(LABELS_FILE, ("\n".join(self.spec.labels) + "\n").encode())
        more = {LABELS_FILE: own, HEAD_FILE: head, **keep(features[chosen], truth[chosen], self.widths)}
        try:
            with whole(path) as part:
                part.write_bytes(append_files(self.file.graph, spec, more))
        except OSError as error:
            raise UserError(f"{path}: cannot save there: {error.strerror}") from error
        return f"saved as {path}: {len(labels)} labels"

    def _all(self) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels of what is kept, and then of the frames."""
        places = {label: place for place, label in enumerate(self.labels)}
        frames = list(self.frames.values())
        rows = [self._kept[0], *(frame.features[None] for frame in frames)]
        own = np.array([places[frame.label] for frame in frames], np.int64)
        return np.concatenate(rows), np.concatenate([self._kept[1], own])

    def _add(self, label: str, features: np.ndarray, path: Path, image: np.ndarray) -> None:
        if not np.isfinite(features).all():
            raise UserError(f"{path}: the model gives features that are no numbers")
        scale = _SMALL / max(image.shape[:2])
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.imencode(".jpg", cv2.resize(image, size, interpolation=cv2.INTER_AREA))[1].tobytes()
        self._number += 1
        self.frames[self._number] = Taken(label, features, path, small)

    def _nearest(self, label: str, features: np.ndarray) -> float:
        """The largest cosine to a frame of the label; -1 without one."""
        top = self._top()
        own = [frame.features[top] for frame in list(self.frames.values()) if frame.label == label]
        return float((unit(np.stack(own)) @ unit(features[None, top])[0]).max()) if own else -1.0

    def _known(self, label: str) -> None:
        if label not in self.labels:
            raise UserError(f"expected one of the labels, found {label!r}: add it first")
        if len(self.frames) >= _MOST:
            raise UserError(f"expected at most {_MOST} frames: python -m train is made for more")

    def _top(self) -> slice:
        return slice(sum(self.widths) - self.widths[-1], None)
