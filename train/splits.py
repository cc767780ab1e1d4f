"""Which folders are splits and which are classes, and which of our own pictures are held out.

People name splits in many ways, and put them into one folder more or less; a class may be named as a split is. So the
names are a hint and what lies in the folders decides: a split holds folders of pictures, a class holds pictures.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge.errors import UserError
from edge.folder import Found
from edge.text import printable

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_EVALUATION = "evaluation"  # means validation, or test where there is a validation too
_WORDS = {
    TRAIN: ("train", "training", "trn"),
    VALIDATION: ("validation", "validate", "val", "vali", "valid", "dev", "devel", "development"),
    _EVALUATION: ("eval", "evaluation"),
    TEST: ("test", "testing", "tst", "holdout", "heldout", "hold", "held"),
}
_ROLES = {word + ending: role for role, words in _WORDS.items() for word in words for ending in ("", "set", "data")}
_FILLERS = {"set", "data", "dataset", "image", "images", "img", "imgs", "pictures", "photos", "samples"}
_FILLERS |= {"split", "folder", "folders", "files", "out"}


@dataclass
class Layout:
    """Splits by role, each a table of labels to their folders; one split named `train` if all lies on one level."""

    splits: dict[str, dict[str, list[Path]]]
    left_out: list[str] = field(default_factory=list)  # in words, one line each


@dataclass(eq=False)
class _Node:
    """A folder: how many pictures lie in it, and the folders in it."""

    path: Path
    pictures: int = 0
    inside: dict[str, "_Node"] = field(default_factory=dict)
    total: int = 0

    @property
    def full(self) -> list["_Node"]:
        """The folders in it that have pictures, in them or below."""
        return [node for _, node in sorted(self.inside.items()) if node.total]

    @property
    def deep(self) -> bool:
        """Whether its pictures lie in folders below it rather than in it."""
        return self.total > 2 * self.pictures


def find_layout(root: Path, found: Found) -> Layout:
    """Tell splits from classes.

    Raises:
        UserError: if the folders could be either, or a split is missing, doubled, or without classes.
    """
    node = _entered(_tree(root, found))
    layout = Layout({})
    folders = {child: _role(child.path.name) for child in node.full}
    roles = _roles(folders)
    deep = {child for child in roles if child.deep}
    if not any(roles[child] == TRAIN for child in deep):
        if len(roles) == len(node.full) > 1 and TRAIN in roles.values() and len(set(roles.values())) > 1:
            names = " and ".join(f"{child.path.name}/" for child in roles)
            raise UserError(
                f"{node.path}: expected {names} to hold a folder for each class, found pictures directly in them"
            )
        if deep and len(node.full) > 1:
            _refuse_one_split(node, next(iter(deep)), roles)
        layout.splits[TRAIN] = _classes(node, layout, inner=False)
        return layout
    if len(roles) < 2 and len(node.full) > 1:
        _refuse_one_split(node, next(iter(deep)), roles)
    for child in node.full:
        count = f"{child.total} pictures"
        if child not in roles:
            layout.left_out.append(f"{child.path.name}/: {count}; no name of a split")
        elif child not in deep and roles[child] == TEST:
            layout.left_out.append(f"{child.path.name}/: {count} without folders for the classes")
        elif child not in deep:
            raise UserError(f"{child.path}: expected a folder for each class, found {count} directly in it")
        elif roles[child] in layout.splits:
            raise UserError(
                f"{node.path}: expected one {roles[child]} folder, found several, {child.path.name}/ the last"
            )
        else:
            layout.splits[roles[child]] = _classes(_entered(child), layout, inner=True)
    _same_classes(node.path, layout)
    return layout


def label_of(folder: str) -> str:
    """The label that a folder's name means: composed Unicode, without spaces around it.

    Raises:
        UserError: if it cannot be printed.
    """
    raw = os.fsencode(folder)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")  # the names of an old Windows, as zips carry them
    label = unicodedata.normalize("NFC", text).strip()
    if not label or not printable(label):
        raise UserError(f"{folder!r}: expected a folder's name that can be printed, as it becomes a label")
    return label


def held_out(keys: Sequence[str], labels: Sequence[int], share: float, seed: int) -> list[bool]:
    """For each picture whether it is held out for validation: about `share` of each label, at least one, never all.

    It follows from the seed and the picture's own key alone, so a new picture moves no other one to the other side.

    Args:
        keys: pictures with one key stay together.
    """
    places = {key: _place(key, seed) for key in set(keys)}
    out = {key for key, place in places.items() if place < share}
    of_label: dict[int, Counter[str]] = defaultdict(Counter)
    for key, label in zip(keys, labels, strict=True):
        of_label[label][key] += 1
    for label in sorted(of_label):
        order = sorted(of_label[label], key=places.__getitem__)
        if not out.intersection(order) and len(order) > 1:
            out.add(order[0])
        mine = [key for key in order if key in out]
        left = sum(count for key, count in of_label[label].items() if key not in out)
        while len(mine) > 1 and left < 2:  # two pictures to learn from, where there are so many
            left += of_label[label][mine[-1]]
            out.discard(mine.pop())
        smaller = [key for key in order if left + of_label[label][mine[0]] - of_label[label][key] >= 2] if mine else []
        if left < 2 and smaller:  # what is held out is all but one picture
            out.discard(mine[0])
            out.add(smaller[0])
    return [key in out for key in keys]


def _place(key: str, seed: int) -> float:
    """From 0 to 1, the same for one key and seed whatever else there is."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode(errors="surrogateescape")).digest()[:7], "big") / 2**56


def _tree(root: Path, found: Found) -> _Node:
    top = _Node(root)
    nodes = {root: top}
    for folder in found.folders[1:]:
        nodes[folder] = nodes[folder.parent].inside[folder.name] = _Node(folder)
    for path, count in Counter(path.parent for path in found.pictures).items():
        nodes[path].pictures = count
        while True:
            nodes[path].total += count
            if path == root:
                break
            path = path.parent
    return top


def _entered(node: _Node) -> _Node:
    """The first folder on the way down that holds more than one folder of folders: archives add a level or two."""
    while not node.pictures and len(node.full) == 1 and node.full[0].deep and not node.full[0].pictures:
        node = node.full[0]
    return node


def _role(name: str) -> tuple[str, tuple[str, ...]]:
    """The split that a name means ("" if none), and what else is in the name."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    roles = [_ROLES[word] for word in words if word in _ROLES]
    rest = tuple(word for word in words if word not in _ROLES and word not in _FILLERS)
    return (roles[0] if len(set(roles)) == 1 else "", rest)


def _roles(folders: dict[_Node, tuple[str, tuple[str, ...]]]) -> dict[_Node, str]:
    """The folders that may be splits: named so, or named alike but for it, as seg_train and seg_test are."""
    of_rest = defaultdict(set)
    for role, rest in folders.values():
        if role:
            of_rest[rest].add(role)
    roles = {node: role for node, (role, rest) in folders.items() if role and (not rest or len(of_rest[rest]) > 1)}
    instead = TEST if VALIDATION in roles.values() else VALIDATION
    return {node: instead if role == _EVALUATION else role for node, role in roles.items()}


def _refuse_one_split(node: _Node, split: _Node, roles: dict[_Node, str]) -> None:
    others = ", ".join(f"{child.path.name}/" for child in node.full if child is not split)
    raise UserError(
        f"{node.path}: expected train/ and validation/ or test/ beside it, or classes alone; found only one of them, "
        f"{split.path.name}/, which holds folders as a split does, beside {others}"
    )


def _classes(node: _Node, layout: Layout, inner: bool) -> dict[str, list[Path]]:
    """Label to folders: each folder of a split, or of the only level, but those that hold other files alone."""
    if node.pictures:
        layout.left_out.append(f"{node.path.name}/: {node.pictures} pictures beside the folders of the classes")
    inside = [child for _, child in sorted(node.inside.items())]
    for child in node.full:
        roles = _roles({sub: _role(sub.path.name) for sub in child.full})
        if TRAIN in roles.values() and len(set(roles.values())) > 1:
            names = " and ".join(f"{sub.path.name}/" for sub in roles)
            remedy = f"give {child.path} alone" if any(sub.deep for sub in roles) else "make them the outer folders"
            raise UserError(f"{child.path}: expected the pictures of one class, found splits, {names}: {remedy}")
    below = [frozenset(sub.path.name for sub in child.full) for child in node.full]
    same = len(below) > 1 and len(below[0]) > 1 and len(set(below)) == 1 and all(child.deep for child in node.full)
    if same and not (_numbered(below[0]) and (inner or not _numbered([child.path.name for child in node.full]))):
        outer = ", ".join(child.path.name for child in node.full[:3])
        classes = ", ".join(sorted(below[0])[:3])
        raise UserError(
            f"{node.path}: expected classes, found the same folders ({classes}) in each of {outer}: if those are the "
            f"classes, name the splits train/, validation/, test/; else move the pictures up into {outer}"
        )
    labels: dict[str, list[Path]] = {}
    for child in inside:
        if child.total or not any(child.path.iterdir()):
            labels.setdefault(label_of(child.path.name), []).append(child.path)
        else:
            layout.left_out.append(f"{child.path.name}/: no pictures in it")
    if len(labels) < 2:
        what = f"only {next(iter(labels))!r}" if labels else "none"
        beside = f" and {node.pictures} pictures beside it" if node.pictures else ""
        raise UserError(f"{node.path}: expected at least two class folders with pictures in them, found {what}{beside}")
    return {label: labels[label] for label in sorted(labels)}


def _same_classes(path: Path, layout: Layout) -> None:
    train = set(layout.splits[TRAIN])
    for role, classes in layout.splits.items():
        missing = train - set(classes)
        if role == TEST and missing and not set(classes) - train:
            layout.left_out.append(f"test/: no pictures of {', '.join(sorted(missing))}")
        elif differing := train ^ set(classes):
            raise UserError(
                f"{path}: expected the same classes in both splits, train and {role}, found a difference: "
                f"{', '.join(sorted(differing))}"
            )


def _numbered(names: Sequence[str] | frozenset[str]) -> bool:
    """Whether names differ in their numbers alone, as those of sessions, days and shards do."""
    return len({re.sub(r"\d+", "0", name) for name in names}) == 1 and any(re.search(r"\d", name) for name in names)
