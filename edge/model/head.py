"""The head: features to scores by one matrix, solved in closed form. numpy alone, so a device can do it too.

Linear discriminant analysis: each label is a Gaussian around its mean, all with one covariance. That covariance is the
scatter within the labels, drawn towards a diagonal one by the share that Ledoit & Wolf ("A well-conditioned estimator
for large-dimensional covariance matrices", 2004) find best for the number of pictures that there are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

_CHUNK = 4096  # rows that are in memory at once in double precision


@dataclass(frozen=True)
class Head:
    """A linear classifier: `scores = softmax(features @ kernel + bias)`.

    Attributes:
        kernel: float (features, labels).
        bias: float (labels,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Of features (pictures, features), float64 (pictures, labels)."""
        starts = range(0, len(features), _CHUNK)
        made = [np.asarray(features[start : start + _CHUNK], np.float64) @ self.kernel + self.bias for start in starts]
        return np.concatenate(made) if made else np.empty((0, len(self.bias)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Scores (pictures, labels) that sum to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Sums:
    """All that linear discriminant analysis needs to know of some rows, but for their lengths. Sums can be added and
    taken away: what is left out of all rows costs no second pass.

    Attributes:
        counts: rows of each label, or the sum of their weights, (labels,).
        totals: the sum of the rows of each label, (labels, features).
        squares: the sum of the outer products of all rows, (features, features).
    """

    counts: np.ndarray
    totals: np.ndarray
    squares: np.ndarray

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.counts + other.counts, self.totals + other.totals, self.squares + other.squares)

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.counts - other.counts, self.totals - other.totals, self.squares - other.squares)


def sums(rows: np.ndarray, labels: np.ndarray, count: int, weights: np.ndarray | None = None) -> Sums:
    """The sums over some rows.

    Args:
        rows: (rows, features); may be memory-mapped.
        labels: int (rows,), 0 to `count` - 1.
        weights: of each row; 1 by default.
    """
    width = rows.shape[1]
    counts, totals, squares = np.zeros(count), np.zeros((count, width)), np.zeros((width, width))
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        chunk, own = np.asarray(rows[part], np.float64), labels[part]
        weighted = chunk if weights is None else chunk * weights[part, None]
        counts += np.bincount(own, None if weights is None else weights[part], minlength=count)
        np.add.at(totals, own, weighted)
        squares += weighted.T @ chunk
    return Sums(counts, totals, squares)
