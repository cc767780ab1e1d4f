"""Which pictures belong together: of one burst, of one subject, or nearly the same.

Pictures of one group must not stand on both sides of a split: a model that saw one of them in training answers the
others from memory, and its accuracy flatters.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from train.dataset import Picture

NEAR = 0.9  # cosine of centred features from which two pictures count as nearly the same
_BLOCK = 1024  # pictures that are compared with all others at a time


def group(pictures: Sequence[Picture], features: np.ndarray, near: float = NEAR) -> np.ndarray:
    """Number the groups: int64 (pictures,); pictures with one number belong together.

    Two belong together if they are byte-identical, share a `Picture.group`, or, being of one label, have features
    whose cosine is at least `near` after the mean of all was taken off; and whatever is joined by a chain of these.

    Args:
        features: float (pictures, features), a row a picture; may be memory-mapped.
    """
    count = len(pictures)
    if not count:
        return np.zeros(0, np.int64)
    first: dict[tuple[str, str], int] = {}
    edges = [
        (index, first.setdefault((kind, key), index))
        for index, picture in enumerate(pictures)
        for kind, key in (("digest", picture.digest), ("group", picture.group))
        if key
    ]
    ends = np.array(edges, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges), bool), (ends[0], ends[1])), (count, count))
    groups = connected_components(graph, directed=False)[1].astype(np.int64)

    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    labels = np.array([picture.label for picture in pictures])
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        unit = np.asarray(features[members], np.float32) - mean
        unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
        for start in range(0, len(members), _BLOCK):
            alike = unit[start : start + _BLOCK] @ unit[start:].T >= near
            for row in np.flatnonzero(alike.sum(axis=1) > 1):
                together = np.unique(groups[members[start + np.flatnonzero(alike[row])]])
                if len(together) > 1:
                    groups[np.isin(groups, together)] = together[0]
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)
