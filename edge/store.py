"""Frames kept for the next training, as DIR/<label>/<time>.jpg: a folder that `make train DATA=DIR` takes as it is."""

import re
import threading
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from edge.errors import UserError
from edge.files import nearly_full, unused, whole
from edge.text import printable

_QUALITY = 95  # of the JPEGs, 0 to 100
_LONGEST = 180  # bytes of a label in the name of a file, which has 255


def check_label(label: str) -> str:
    """A label that is fit for a folder's name.

    Raises:
        UserError: if it is not.
    """
    label = label.strip()
    if not printable(label) or not re.fullmatch(r'[^.\\/:*?"<>|][^\\/:*?"<>|]{0,79}', label):
        raise UserError(f"expected a label that can name a folder, found {label!r}")
    return label


class SaveFolder:
    """A folder with one folder of JPEGs per label."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._counts: dict[str, int] | None = None
        self._lock = threading.Lock()  # of the counts
        self._naming = threading.Lock()  # held until a name is taken: two viewers save in the same millisecond

    def counts(self) -> dict[str, int]:
        """Label to the number of its pictures; those that were there before count too."""
        with self._lock:
            if self._counts is None:
                folders = sorted(path for path in self.root.glob("*") if path.is_dir()) if self.root.is_dir() else []
                self._counts = {path.name: sum(1 for _ in path.glob("[!.]*.jpg")) for path in folders}
            return dict(self._counts)

    def set_aside(self, path: Path) -> None:
        """Move a picture to where training does not look: DIR/.thrown-out."""
        place = unused(self.root / ".thrown-out" / f"{path.parent.name}-{path.name}")
        try:
            place.parent.mkdir(exist_ok=True)
            path.rename(place)
        except FileNotFoundError:
            pass  # somebody else did it
        except OSError as error:
            raise UserError(f"{path}: cannot be moved to {place}: {error.strerror}") from error
        with self._lock:
            self._counts = None

    def save(self, label: str, image: np.ndarray, mark: str = "", even_if_full: bool = False) -> Path:
        """Write a BGR uint8 frame (height, width, 3), whole or not at all; the path that it got: the time and `mark`.

        On a disk that is nearly full nothing is saved, unless the caller has just made room (`even_if_full`).

        Raises:
            UserError: if the label cannot name a folder, or the disk does not take it.
        """
        label = check_label(label)
        self.counts()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if nearly_full(self.root) and not even_if_full:
                raise UserError(f"{self.root}: the disk is nearly full: nothing is saved")
            jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
            with self._naming:
                path = unused(self.root / label / f"{datetime.now().strftime('%Y%m%d-%H%M%S-%f')[:-3]}{mark}.jpg")
                with whole(path) as part:
                    part.write_bytes(jpeg)
        except OSError as error:
            raise UserError(f"{self.root}: cannot save there: {error.strerror}") from error
        with self._lock:
            assert self._counts is not None
            self._counts[label] = self._counts.get(label, 0) + 1
        return path


def as_folder(label: str) -> str:
    """A label of any model as a folder's name, short enough to be in a file's name too."""
    label = re.sub(r'[\\/:*?"<>|]', "_", label).strip(". ")[:80]
    return label.encode()[:_LONGEST].decode(errors="ignore").strip(". ") or "label"
