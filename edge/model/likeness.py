"""How like a frame is to the training photos: its features against a small bank of theirs.

A score compares the labels with each other, so a picture of something else altogether gets a high one as well. Its
features, though, point elsewhere: the cosine to the nearest of the bank tells (Sun et al., "Out-of-distribution
detection with deep nearest neighbors", 2022). Measured: `docs/measured.md`, "unknown".
"""

import io

import numpy as np

SIZE = 200  # vectors: of 1280 features, 256 kB. 50 answer four times as many foreign pictures, see the measurement
REFUSED = 0.01  # share of the right answers that become "unknown", so that as many of the wrong ones as can be do
# Of the right answers that may be refused, the part that goes to the likeness; the rest goes to the score, which is
# nearly as high for pictures of something else.
PART = 0.8
_MOST = 2000  # pictures of a label that are looked at: their products are in memory all at once


class Bank:
    """Features of training pictures, as `pack` made them, ready to be compared with.

    Args:
        packed: int8 (vectors, features), no row all zero.
    """

    def __init__(self, packed: np.ndarray) -> None:
        if packed.dtype != np.int8 or packed.ndim != 2 or not packed.any(axis=1).all():
            raise ValueError(f"expected int8 vectors, none of them zero, found {packed.dtype} {packed.shape}")
        self.vectors = unit(packed.astype(np.float32))

    def likeness(self, features: np.ndarray) -> np.ndarray:
        """The cosine to the nearest vector, -1 to 1, float32 (pictures,), of float features (pictures, features)."""
        return (unit(features) @ self.vectors.T).max(axis=1, initial=-1.0)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32; those of zeros stay as they are."""
    rows = np.asarray(rows, np.float32) / _largest(rows)  # the squares of small numbers are zero in float32
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)


def pack(features: np.ndarray) -> np.ndarray:
    """Features (vectors, features) as int8: only their direction counts, so each row has a scale of its own."""
    return np.rint(features / _largest(features) * 127).astype(np.int8)


def _largest(rows: np.ndarray) -> np.ndarray:
    """The largest size of each row, float32 (rows, 1); 1 of a row of zeros."""
    found = np.abs(rows).max(axis=1, keepdims=True).astype(np.float32)
    return np.where(found > 0, found, np.float32(1))


def choose(features: np.ndarray, labels: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Which pictures represent all, int (at most `size`,): as many of each label, the most telling ones first.

    Features that are all zero, as a ReLU may leave them, point nowhere and represent nothing.

    Of each label, one after the other, that which brings the pictures of the label nearest to those chosen (greedy
    facility location, Nemhauser et al. 1978; asked lazily, Minoux 1978).

    Args:
        features: float (pictures, features).
        labels: int (pictures,).
    """
    rows, order = unit(features), []
    points = rows.any(axis=1)
    counts = np.unique(labels[points], return_counts=True)[1]
    each = next((rank for rank in range(size) if np.minimum(counts, rank).sum() >= size), size)
    for label in np.unique(labels):
        own = np.flatnonzero((labels == label) & points)
        own = own[np.linspace(0, len(own) - 1, min(len(own), _MOST)).astype(int)]
        near = rows[own] @ rows[own].T
        best = np.full(len(own), -1.0, np.float32)
        gains = (near - best).sum(axis=1)  # at most: what each brought when it was last asked, as gains only fall
        for rank in range(min(len(own), each)):
            while True:
                found = int(gains.argmax())
                gain = np.maximum(near[found] - best, 0).sum()
                if gain == gains[found]:
                    break
                gains[found] = gain
            if best[found] > 1 - 1e-6:  # all that remain are copies
                break
            order.append((rank, int(own[found])))
            best = np.maximum(best, near[found])
    return np.array([place for _, place in sorted(order)[:size]], np.int64)


def to_bytes(packed: np.ndarray) -> bytes:
    """The bank as a file (NumPy's format)."""
    buffer = io.BytesIO()
    np.save(buffer, packed, allow_pickle=False)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Bank:
    """What `to_bytes` made.

    Raises:
        ValueError: if it is something else.
    """
    try:
        return Bank(np.load(io.BytesIO(data), allow_pickle=False))
    except EOFError as error:
        raise ValueError("expected a bank of features, found an empty file") from error
