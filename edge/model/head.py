"""The head: features to scores by one matrix, solved in closed form. numpy alone, so a device can do it too.

Linear discriminant analysis: each label is a Gaussian around its mean, all with one covariance. With few pictures the
covariance that is seen is drawn towards its diagonal: by the share that Ledoit & Wolf ("A well-conditioned estimator
for large-dimensional covariance matrices", 2004) derive from the pictures of each label, or by one that is given.
"""

import io
from dataclasses import dataclass

import numpy as np

_CHUNK = 4096  # rows that are in memory at once in double precision
FLOOR = 1e-4  # of the mean variance: a feature that never changes must not be divided by nothing
NEVER = -50.0  # logits below all others: of a label without a picture


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

    def to_bytes(self) -> bytes:
        """As a file in NumPy's format: float32 (features + 1, labels), the bias last."""
        buffer = io.BytesIO()
        np.save(buffer, np.vstack([self.kernel, self.bias]).astype(np.float32), allow_pickle=False)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, shape: tuple[int, int]) -> "Head":
        """What `to_bytes` made, of `shape` (features, labels).

        Raises:
            ValueError: if it is something else.
        """
        try:
            found = np.load(io.BytesIO(data), allow_pickle=False)
        except EOFError as error:
            raise ValueError("expected a head, found an empty file") from error
        expected = shape[0] + 1, shape[1]
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape != expected:
            raise ValueError(f"expected a head of float32 {expected}, found {getattr(found, 'shape', found)}")
        if not np.isfinite(found).all():
            raise ValueError("expected a head of finite numbers, found others")
        return cls(found[:-1], found[-1])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Scores (pictures, labels) that sum to 1, of float logits."""
    powers = logits - logits.max(axis=1, keepdims=True)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def solve_lda(
    features: np.ndarray, labels: np.ndarray, count: int, share: float | None = None, balance: bool = False
) -> Head:
    """Linear discriminant analysis.

    Args:
        features: float (pictures, features), finite.
        labels: int (pictures,), 0 to `count` - 1. A label without a picture is never the answer.
        share: how far the covariance is drawn towards its diagonal, 0 to 1; None is Ledoit & Wolf's, label by label.
        balance: all labels are as likely, and not as likely as they are frequent.
    """
    rows, diagonal, means, counts, _ = within_labels(features, labels, count, share)
    covariance = rows.T @ rows
    covariance[np.diag_indices_from(covariance)] += diagonal
    return discriminant(covariance, means, counts, balance)


def within_labels(
    features: np.ndarray, labels: np.ndarray, count: int, share: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What the covariance within the labels consists of: it is rowsᵀ rows + diag(diagonal).

    Returns:
        rows (pictures, features), diagonal (features,), means (labels, features), and of each label how many pictures
        it has and by which share it is drawn towards the diagonal.
    """
    rows = np.array(features, np.float64)
    counts = np.bincount(labels, minlength=count)
    means, shares = np.zeros((count, rows.shape[1])), np.zeros(count)
    diagonal = np.zeros(rows.shape[1])
    for label in np.flatnonzero(counts):
        own = rows[labels == label]
        means[label] = own.mean(axis=0)
        own -= means[label]
        variance = np.square(own).mean(axis=0)
        scale = np.sqrt(np.where(variance > 0, variance, 1.0))
        shares[label], level = (share, 1.0) if share is not None else ledoit_wolf(own / scale)
        diagonal += counts[label] / len(rows) * shares[label] * level * variance
        rows[labels == label] = own * np.sqrt((1 - shares[label]) / len(rows))
    return rows, diagonal, means, counts, shares


def discriminant(covariance: np.ndarray, means: np.ndarray, counts: np.ndarray, balance: bool = False) -> Head:
    """The head of Gaussians: means (labels, features), one covariance (features, features), counts (labels,).

    The covariance may be changed.
    """
    seen = counts > 0
    places = np.diag_indices_from(covariance)
    covariance[places] = np.maximum(covariance[places], max(FLOOR * covariance[places].mean(), 1e-12))
    kernel = np.linalg.solve(covariance, means.T)
    prior = np.where(seen, 1.0 if balance else counts, 1.0)
    bias = np.log(prior / prior[seen].sum()) - 0.5 * np.einsum("kf,fk->k", means, kernel)
    kernel[:, ~seen] = kernel[:, seen].mean(axis=1, keepdims=True)
    bias[~seen] = bias[seen].mean() + NEVER
    return Head(kernel, bias)


def ledoit_wolf(rows: np.ndarray) -> tuple[float, float]:
    """How far to draw the covariance of centred rows towards a multiple of the identity: the share, and the multiple.

    Args:
        rows: float (rows, features); the mean of each column is 0.
    """
    count, width = rows.shape
    lengths = np.square(rows).sum(axis=1)
    if count < 3:  # two rows are each other's mirror: by the formula below there would be no error at all
        return 1.0, float(lengths.sum() / (count * width))
    products = rows @ rows.T if count < width else rows.T @ rows  # of one sum of squares
    squares = np.square(products).sum() / count**2
    level = lengths.sum() / (count * width)
    spread = squares - width * level**2  # of the covariance around that multiple, squared
    error = (np.square(lengths).sum() / count - squares) / count  # of the covariance itself, squared
    return (float(np.clip(error / spread, 0, 1)) if spread > 0 else 1.0), float(level)
