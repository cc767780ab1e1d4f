"""A folder of photos to two lists of pictures: training and validation. No picture stays in memory.

Either `DIR/train/CLASS/*` and `DIR/validation/CLASS/*`, or `DIR/CLASS/*`, which is split here.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.errors import UserError
from edge.model.contract import ModelSpec
from edge.pictures import SUFFIXES, decode_picture, read_picture
from train.progress import progress, say

TRAIN_FOLDER = "train"
VALIDATION_FOLDERS = ("validation", "val", "valid")
# A class needs a picture to learn from and another to be measured on, and one is no sample of anything.
MIN_TRAIN, MIN_VALIDATION = 2, 1
# Pictures of other kinds are named and skipped, not passed over in silence: phones make them.
_OTHERS = (".heic", ".heif", ".avif", ".gif", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)  # there may be a million
class Picture:
    """A readable picture file.

    Attributes:
        path: where it is.
        label: the index of its label.
        digest: the SHA-256 of its bytes, hexadecimal.
        group: pictures of one group (a burst, a subject) stay on one side of every split; "" is one of its own.
    """

    path: Path
    label: int
    digest: str
    group: str = ""

    def frame(self, spec: ModelSpec) -> np.ndarray:
        """The picture, BGR uint8 (height, width, 3), in a size of its own or in that of `spec`."""
        return read_picture(self.path)


@dataclass
class Dataset:
    """The pictures of a folder.

    Attributes:
        root: the folder.
        labels: the names of the classes, sorted; a picture's label is an index into them.
        train, validation, test: the splits, in a fixed order; `test` is empty if there is no such folder.
        own_split: whether `validation` was taken out of the training pictures here, and was not given by the user.
        skipped: pictures that could not be read, with the reason.
        leaked: pairs (training, validation) of byte-identical pictures.
    """

    root: Path
    labels: tuple[str, ...]
    train: list[Picture]
    validation: list[Picture]
    test: list[Picture] = field(default_factory=list)
    own_split: bool = False
    skipped: dict[Path, str] = field(default_factory=dict)
    leaked: list[tuple[Path, Path]] = field(default_factory=list)

    def tell(self) -> None:
        """Say what was found, and what should be known of it before it is trusted."""
        counts = f"{len(self.train)} training and {len(self.validation)} validation pictures"
        say(f"{self.root}: {counts} of {', '.join(self.labels)}")
        for path, reason in list(self.skipped.items())[:10]:
            say(f"skipped {path}: {reason}")
        if self.skipped:
            say(f"skipped {len(self.skipped)} pictures that could not be read")
        for train_path, validation_path in self.leaked[:10]:
            say(f"warning: the same picture in both splits: {train_path} and {validation_path}")
        if self.leaked:
            say(
                f"warning: {len(self.leaked)} validation pictures are also training pictures: the accuracy will flatter"
            )


def load_dataset(root: str | Path, validation_share: float = 0.2, seed: int = 0) -> Dataset:
    """Find, check and split the pictures below a folder.

    Args:
        root: the folder, in one of the two layouts.
        validation_share: of each class, for the one-level layout. Byte-identical pictures stay in one split.
        seed: of the split.

    Raises:
        UserError: if there is no such folder, fewer than two classes, classes that differ between the splits, or a
            class with too few readable pictures.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: expected a folder of photos, found {'a file' if root.exists() else 'nothing'}")
    validation = next((root / name for name in VALIDATION_FOLDERS if (root / name).is_dir()), None)
    if (root / TRAIN_FOLDER).is_dir() and validation:
        folders = [root / TRAIN_FOLDER, validation]
    elif (root / TRAIN_FOLDER).is_dir() or validation:
        raise UserError(f"{root}: expected {TRAIN_FOLDER}/ and {VALIDATION_FOLDERS[0]}/, found only one of them")
    else:
        folders = [root]

    labels = _labels(folders)
    found = [
        [(path, index) for index, label in enumerate(labels) for path in _pictures(folder / label)]
        for folder in folders
    ]
    checked = _check([path for split in found for path, _ in split])
    splits = [
        [Picture(path, label, checked[path][0]) for path, label in split if not checked[path][1]] for split in found
    ]
    skipped = {path: reason for path, (_, reason) in checked.items() if reason}
    train, held_out = splits if len(splits) == 2 else _split(splits[0], validation_share, seed)
    for name, pictures, minimum in (("training", train, MIN_TRAIN), ("validation", held_out, MIN_VALIDATION)):
        counts = Counter(picture.label for picture in pictures)
        for index, label in enumerate(labels):
            if counts[index] < minimum:
                unreadable = f" ({len(skipped)} could not be read)" if skipped else ""
                raise UserError(
                    f"{root}: class {label!r}: expected at least {minimum} {name} pictures, "
                    f"found {counts[index]}{unreadable}"
                )
    return Dataset(root, labels, train, held_out, [], len(splits) == 1, skipped, _leaks(train, held_out))


def _labels(folders: list[Path]) -> tuple[str, ...]:
    """The class folders, sorted by name; those of all splits must agree."""
    names = [
        tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] not in "._"))
        for folder in folders
    ]
    if len(set(names)) > 1:
        differing = ", ".join(sorted(set(names[0]) ^ set(names[1])))
        raise UserError(
            f"{folders[0].parent}: expected the same classes in both splits, found a difference: {differing}"
        )
    if len(names[0]) < 2:
        what = f"only {names[0][0]!r}" if names[0] else "none"
        raise UserError(f"{folders[0]}: expected at least two class folders with pictures in them, found {what}")
    return names[0]


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES + _OTHERS and not path.name.startswith(".") and path.is_file()
    )


def _check(paths: list[Path]) -> dict[Path, tuple[str, str]]:
    """For each path the SHA-256 of its bytes, and why it cannot be read ("" if it can)."""
    with ThreadPoolExecutor() as pool:
        results = progress("checking", len(paths), iterable=pool.map(_check_one, paths))
        return dict(zip(paths, results, strict=True))


def _check_one(path: Path) -> tuple[str, str]:
    try:
        data = path.read_bytes()
        decode_picture(data)
    except (OSError, ValueError) as error:
        return "", str(error)
    return hashlib.sha256(data).hexdigest(), ""


def _split(pictures: list[Picture], share: float, seed: int) -> tuple[list[Picture], list[Picture]]:
    """Stratified and seeded; copies of a picture go the same way."""
    groups: dict[int, dict[str, list[Picture]]] = {}
    for picture in pictures:
        groups.setdefault(picture.label, {}).setdefault(picture.digest, []).append(picture)
    train, validation = [], []
    for label in sorted(groups):
        copies = [groups[label][digest] for digest in sorted(groups[label])]
        random.Random(f"{seed}-{label}").shuffle(copies)
        held_out = max(1, round(len(copies) * share))
        validation += [picture for group in copies[:held_out] for picture in group]
        train += [picture for group in copies[held_out:] for picture in group]
    return train, validation


def _leaks(train: Iterable[Picture], validation: Iterable[Picture]) -> list[tuple[Path, Path]]:
    seen = {picture.digest: picture.path for picture in train}
    return [(seen[picture.digest], picture.path) for picture in validation if picture.digest in seen]
