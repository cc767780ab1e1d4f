"""Which pictures belong together: of one burst, of one subject, or nearly the same.

Pictures of one group must not stand on both sides of a split: a model that saw one of them in training answers the
others from memory, and its accuracy flatters. What was taken in one place and named one by one cannot be known.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from train.picture import Picture

NEAR = 0.9  # cosine of centred features from which two pictures count as nearly the same
_BLOCK = 1024  # pictures that are compared with all others at a time
_WIDTH = 256  # features are projected to so many directions: a cosine of 0.9 stays what it is within 0.012
_PAUSE = 10.0  # seconds between two pictures that end a burst

_TIME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)[-_. T]+(\d\d)[-_.h:]?(\d\d)[-_.m:]?(\d\d)[-_.s]?(\d{0,3})"
)
# What a copy of a file has behind the name of its original: "photo (2)", "photo - Copy", "photo_jpg.rf.<hash>".
_COPY = re.compile(r"(?: \(\d+\)|[ _-]+copy(?: \(?\d+\)?)?|(?:_(?:jpe?g|png))?\.rf\.[0-9a-f]{16,})$", re.IGNORECASE)
# "horse01-7", "clip3_frame_0042": a number of the subject, and a number of the picture.
_COUNTED = re.compile(r"(.*\d.*?)[-_. ]+[a-z]{0,8}[-_. ]?\d{1,6}", re.IGNORECASE)


class Rows(Protocol):
    """Features that need not be in memory: `[start:stop]` gives float (pictures, features)."""

    def __getitem__(self, index: slice, /) -> np.ndarray: ...


def group(pictures: Sequence[Picture], features: Rows, near: float = NEAR) -> np.ndarray:
    """Number the groups: int64 (pictures,); pictures with one number belong together.

    Two belong together if they are byte-identical, share a `Picture.group`, or, being of one label, have features
    whose cosine is at least `near` after the mean of all was taken off; and whatever is joined by a chain of these.

    Args:
        features: a row a picture; what comes after those is not looked at.
    """
    if not len(pictures):
        return np.zeros(0, np.int64)
    groups = joined([[("digest", picture.digest), ("group", picture.group or None)] for picture in pictures])
    unit = directions(features, len(pictures))
    labels = np.array([picture.label for picture in pictures])
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        for start in range(0, len(members), _BLOCK):
            alike = unit[members[start : start + _BLOCK]] @ unit[members[start:]].T >= near
            for row in np.flatnonzero(alike.sum(axis=1) > 1):
                together = np.unique(groups[members[start + np.flatnonzero(alike[row])]])
                if len(together) > 1:
                    groups[np.isin(groups, together)] = together[0]
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def directions(features: Rows, count: int) -> np.ndarray:
    """Unit vectors whose products are about the cosines of the centred features, float32 (count, directions)."""
    random, blocks = np.random.default_rng(0), []
    turn: np.ndarray | None = None
    for at in range(0, count, _BLOCK):
        block = np.asarray(features[at : min(at + _BLOCK, count)], np.float32)
        if turn is None and block.shape[1] > _WIDTH:
            turn = random.normal(size=(block.shape[1], _WIDTH)).astype(np.float32)
        blocks.append(block if turn is None else block @ turn)
    unit = np.concatenate(blocks)
    unit -= unit.mean(axis=0)
    return unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)


def joined(keys: Sequence[Iterable[tuple[str, Hashable]]]) -> np.ndarray:
    """Number the groups of items that share a key, in chains: int64 (items,). A key of (kind, None) is none."""
    first: dict[tuple[str, Hashable], int] = {}
    edges = [
        (index, first.setdefault(key, index))
        for index, of_item in enumerate(keys)
        for key in of_item
        if key[1] is not None
    ]
    ends = np.array(edges, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges), bool), (ends[0], ends[1])), (len(keys), len(keys)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def by_name(places: Sequence[tuple[str, ...]]) -> tuple[list[str], str]:
    """What names say of the pictures of one class: a group for each ("" for none), and by what, in words.

    The first of these that makes several groups is taken: folders below that of the class, the time that cameras and
    `edge collect` put into names, a number of a subject before that of the picture. Copies go with their originals.

    Args:
        places: the path of each picture below the folder of its class, in parts, without the suffix.
    """
    stems = [_COPY.sub("", place[-1]) for place in places]
    for kind, groups in (
        ("folders", ["/".join(place[:-1]) for place in places]),
        ("times in names", _bursts([place[-1] for place in places])),
        ("names", [found[1] if (found := _COUNTED.fullmatch(stem)) else "" for stem in stems]),
        ("names of copies", stems),
    ):
        sizes = Counter(filter(None, groups))
        if len(set(groups)) > 1 and any(count > 1 for count in sizes.values()):
            return [key if sizes[key] > 1 else "" for key in groups], kind
    return [""] * len(places), ""


def _bursts(names: Sequence[str]) -> list[str]:
    """Of names that tell a time: the first one of the burst that they belong to; "" for others."""
    times: dict[int, float] = {}
    for index, name in enumerate(names):
        if found := _TIME.search(name):
            try:
                moment = datetime.strptime("".join(found.groups()[:6]), "%Y%m%d%H%M%S")
            except ValueError:  # digits that are no time
                continue
            times[index] = (moment - datetime(1900, 1, 1)).total_seconds() + int(found[7].ljust(3, "0") or 0) / 1000
    groups, start, before = [""] * len(names), "", -_PAUSE
    for index in sorted(times, key=times.__getitem__):
        if times[index] - before > _PAUSE:
            start = names[index]
        groups[index], before = start, times[index]
    return groups
