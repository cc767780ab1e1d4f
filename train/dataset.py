"""A folder of photos to lists of pictures: training, validation and perhaps test. No picture stays in memory.

Either `DIR/train/CLASS/*` with `DIR/validation/CLASS/*` or `DIR/test/CLASS/*` or both, or `DIR/CLASS/*`. Where there is
no validation, a share of the training pictures becomes it.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.errors import UserError
from edge.folder import find_pictures
from train.groups import Rows, by_name, group, joined
from train.known import Fact, look
from train.picture import Picture
from train.progress import say
from train.splits import TEST, TRAIN, VALIDATION, find_layout, held_out

__all__ = ["Dataset", "Picture", "load_dataset"]

# A class needs a picture to learn from and another to be measured on, and one is no sample of anything.
MIN_TRAIN, MIN_VALIDATION = 2, 1
SHARE = 0.2  # of the pictures of each class, for validation
_SHOWN = 10  # lines of one kind


@dataclass
class Dataset:
    """The pictures of a folder.

    Attributes:
        root: the folder.
        labels: the names of the classes, sorted; a picture's label is an index into them.
        train, validation, test: the splits, in a fixed order; `test` is empty if there is no such folder.
        own_split: whether `validation` was taken out of the training pictures here, and was not given by the user.
        skipped: pictures that could not be read, with the reason.
        leaked: pairs of one picture in two splits: (training, validation or test), (validation, test).
        contradicted: pairs of one picture under two labels.
        notes: what else was left out or grouped, a line each.
    """

    root: Path
    labels: tuple[str, ...]
    train: list[Picture]
    validation: list[Picture]
    test: list[Picture] = field(default_factory=list)
    own_split: bool = False
    skipped: dict[Path, str] = field(default_factory=dict)
    leaked: list[tuple[Path, Path]] = field(default_factory=list)
    contradicted: list[tuple[Path, Path]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tell(self) -> None:
        """Say what was found, and what should be known of it before it is trusted."""
        counts = [f"{len(self.train)} training", f"{len(self.validation)} validation"]
        counts += [f"{len(self.test)} test"] if self.test else []
        names = ", ".join(self.labels[:20]) + (f" and {len(self.labels) - 20} more" if len(self.labels) > 20 else "")
        say(f"{self.root}: {', '.join(counts[:-1])} and {counts[-1]} pictures of {names}")
        for note in self.notes:
            say(note)
        reasons: dict[str, list[Path]] = defaultdict(list)
        for path, reason in self.skipped.items():
            reasons[reason].append(path)
        for reason, paths in sorted(reasons.items(), key=lambda item: -len(item[1]))[:_SHOWN]:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            say(f"skipped {paths[0]}{more}: {reason}")
        if self.skipped:
            say(f"skipped {len(self.skipped)} pictures that could not be read")
        for one, other in self.contradicted[:_SHOWN]:
            say(f"warning: the same picture under two labels, one of them wrong: {one} and {other}")
        if len(self.contradicted) > _SHOWN:
            say(f"warning: {len(self.contradicted)} pictures are under two labels")
        for one, other in self.leaked[:_SHOWN]:
            say(f"warning: the same picture in both splits: {one} and {other}")
        if self.leaked:
            say(f"warning: {len(self.leaked)} pictures are in two splits: the accuracy will look better than it is")

    def fold_pictures(self) -> list[Picture]:
        """Those that are split here, into folds or into training and validation."""
        return [*self.train, *(self.validation if self.own_split else [])]

    def group_alike(self, features: Rows, seed: int, share: float = SHARE) -> None:
        """Join pictures that look nearly the same in one group, and hold out anew where the split is our own.

        Args:
            features: of `fold_pictures()`.
        """
        pictures = self.fold_pictures()
        numbers = group(pictures, features).tolist()
        sizes, names = Counter(numbers), dict[int, str]()
        for number, picture in zip(numbers, pictures, strict=True):
            key = picture.group or picture.digest
            names[number] = min(key, names.get(number, key))
        known = Counter(picture.group for picture in pictures)
        new = sum(sizes[n] > max(1, known[p.group] if p.group else 1) for n, p in zip(numbers, pictures, strict=True))
        if new:
            say(f"grouped by likeness: {new} pictures look nearly like others; groups stay on one side of every split")
        joined = [
            replace(picture, group=names[number]) if sizes[number] > 1 else picture
            for number, picture in zip(numbers, pictures, strict=True)
        ]
        if self.own_split:
            self.train, self.validation = _deal(joined, share, seed)
        else:
            self.train = joined


def load_dataset(root: str | Path, validation_share: float = SHARE, seed: int = 0) -> Dataset:
    """Find, check and split the pictures below a folder.

    Args:
        root: the folder.
        validation_share: of each class, where there is no validation folder. Pictures that belong together (`groups`)
            stay on one side, and a picture stays on its side when others come or go.
        seed: of the split.

    Raises:
        UserError: if there is no such folder, fewer than two classes, classes that differ between the splits, folders
            that could be splits or classes, or a class with too few readable pictures.
    """
    root = Path(root)
    if not root.is_dir():
        what = "a file" if root.exists() else "nothing"
        remedy = "; unpack it first" if root.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar") else ""
        raise UserError(f"{root}: expected a folder of photos, found {what}{remedy}")
    found = find_pictures(root)
    layout = find_layout(root, found)
    notes = [f"left out: {line}" for line in layout.left_out]
    if left_out := found.left_out():
        notes.append(f"left out: {left_out}")

    labels = tuple(layout.splits[TRAIN])
    below: dict[Path, list[Path]] = defaultdict(list)  # folder of a class to the pictures in it, at any depth
    tops = {folder for classes in layout.splits.values() for folders in classes.values() for folder in folders}
    for path in found.pictures:
        if top := next((folder for folder in path.parents if folder in tops), None):
            below[top].append(path)
    facts = look([path for folder in sorted(tops) for path in below[folder]])
    skipped = {path: fact.reason for path, fact in facts.items() if fact.reason}
    splits, kinds = {}, Counter[str]()
    for role, classes in layout.splits.items():
        splits[role] = [
            picture
            for label, name in enumerate(labels)
            for picture in _of_class(label, name, classes.get(name, []), below, facts, kinds)
        ]
    for kind, count in sorted(kinds.items()):
        notes.append(f"grouped by {kind}: {count} pictures; those of one group stay on one side of every split")

    own_split = VALIDATION not in splits
    test = splits.get(TEST, [])
    train = _with_copies(splits[TRAIN], facts)
    if own_split:
        train, validation = _deal(train, validation_share, seed)
    else:
        validation = splits[VALIDATION]
    _enough(root, labels, train, validation, facts, skipped, own_split)
    leaked, contradicted = _doubles([train, validation, test], facts)
    return Dataset(root, labels, train, validation, test, own_split, skipped, leaked, contradicted, notes)


def _deal(pictures: list[Picture], share: float, seed: int) -> tuple[list[Picture], list[Picture]]:
    """Training and validation; groups stay together."""
    keys = [picture.group or picture.digest for picture in pictures]
    out = held_out(keys, [picture.label for picture in pictures], share, seed)
    return [p for p, o in zip(pictures, out, strict=True) if not o], [
        p for p, o in zip(pictures, out, strict=True) if o
    ]


def _of_class(
    label: int,
    name: str,
    folders: list[Path],
    below: dict[Path, list[Path]],
    facts: dict[Path, Fact],
    kinds: Counter[str],
) -> list[Picture]:
    """The readable pictures of one class, with the groups that their names tell."""
    paths = [(path, folder) for folder in folders for path in below[folder] if not facts[path].reason]
    groups, kind = by_name([path.relative_to(folder).with_suffix("").parts for path, folder in paths])
    if kind:
        kinds[kind] += sum(1 for key in groups if key)
    return [
        Picture(path, label, facts[path].digest, f"{name}/{key}" if key else "")
        for (path, _), key in zip(paths, groups, strict=True)
    ]


def _with_copies(pictures: list[Picture], facts: dict[Path, Fact]) -> list[Picture]:
    """Pictures that show the same, and what they belong to, in one group."""
    keys = [[("pixels", facts[picture.path].pixels), ("group", picture.group or None)] for picture in pictures]
    numbers = joined(keys)
    sizes = Counter(numbers.tolist())
    names: dict[int, str] = {}
    for number, picture in zip(numbers.tolist(), pictures, strict=True):
        key = picture.group or f"={facts[picture.path].pixels}"
        names[number] = min(key, names.get(number, key))
    return [
        replace(picture, group=names[number]) if sizes[number] > 1 else picture
        for number, picture in zip(numbers.tolist(), pictures, strict=True)
    ]


def _enough(
    root: Path,
    labels: tuple[str, ...],
    train: list[Picture],
    validation: list[Picture],
    facts: dict[Path, Fact],
    skipped: dict[Path, str],
    own_split: bool,
) -> None:
    """Raise UserError for the first class with too few different pictures."""
    unreadable = f" ({len(skipped)} could not be read)" if skipped else ""
    sides = [("training", train, MIN_TRAIN), ("validation", validation, MIN_VALIDATION)]
    if own_split:
        sides.insert(0, ("different", train + validation, MIN_TRAIN + MIN_VALIDATION))
    for name, pictures, minimum in sides:
        shown = {(picture.label, facts[picture.path].pixels) for picture in pictures}
        different, files = Counter(label for label, _ in shown), Counter(picture.label for picture in pictures)
        for index, label in enumerate(labels):
            if different[index] < minimum:
                copies = f" in {files[index]} files" if files[index] > different[index] else ""
                raise UserError(
                    f"{root}: class {label!r}: expected at least {minimum} {name} pictures, "
                    f"found {different[index]}{copies}{unreadable}"
                )


def _doubles(
    splits: list[list[Picture]], facts: dict[Path, Fact]
) -> tuple[list[tuple[Path, Path]], list[tuple[Path, Path]]]:
    """Pairs of one picture in two splits, and pairs of one under two labels; one is what has the same pixels."""
    leaked, contradicted = [], []
    first: dict[tuple[str, tuple[int, int]], Path] = {}  # what it shows, split and label: the first of those
    seen: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for split, pictures in enumerate(splits):
        for picture in pictures:
            pixels = facts[picture.path].pixels
            for other in seen[pixels]:
                pair = first[pixels, other], picture.path
                if other[1] != picture.label:
                    contradicted.append(pair)
                elif other[0] != split:
                    leaked.append(pair)
            place = split, picture.label
            if place not in seen[pixels]:
                seen[pixels].append(place)
                first[pixels, place] = picture.path
    return leaked, contradicted
