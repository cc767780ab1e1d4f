"""Learning from few frames on the device: a head, and what it says of each frame without having seen it.

The solver is that of `edge.model.head`. Each frame is left out in closed form: its label's mean and the covariance
lose its part by a rank-one change (Sherman & Morrison, 1950; Friedman, "Regularized discriminant analysis", 1989).
With fewer frames than features, nothing of the size of the covariance is made (Woodbury's identity). numpy alone.
"""

from dataclasses import dataclass

import numpy as np

from edge.model.head import FLOOR, NEVER, Head, softmax, within_labels
from edge.model.likeness import PART, REFUSED, choose, pack, unit

_TAIL = 2.41  # standard deviations below the mean of a Gaussian: 0.8 % lie there
_TEMPERATURES = np.geomspace(0.05, 1e5, 361)  # few frames that are much alike give logits of thousands


@dataclass(frozen=True)
class Lesson:
    """What was learnt from frames.

    Attributes:
        head: its scores are as certain as they should be.
        right: of each frame, whether the others answer it right, bool (frames,).
        threshold, likeness: as in the contract.
        bank: int8 (vectors, features) of the last depth, of all labels.
    """

    head: Head
    right: np.ndarray
    threshold: float
    likeness: float
    bank: np.ndarray


def learn(features: np.ndarray, labels: np.ndarray, count: int, top: slice) -> Lesson:
    """Learn labels from frames, each label as likely as the others.

    Args:
        features: float (frames, features), finite.
        labels: int (frames,), 0 to `count` - 1, which is two or more; each label has a frame.
        top: the columns of the last depth.
    """
    head, left_out = solve_and_leave_out(features, labels, count)
    right = left_out.argmax(axis=1) == labels
    temperature = _temperature(left_out, labels)
    best = softmax(left_out / temperature).max(axis=1)[right]
    threshold = float(np.quantile(best, (1 - PART) * REFUSED, method="lower")) if len(best) else 0.0
    rows = unit(features[:, top])
    near = rows @ rows.T
    np.fill_diagonal(near, -1)
    return Lesson(
        Head(head.kernel / temperature, head.bias / temperature),
        right,
        np.floor(1000 * threshold) / 1000,
        _limit(near.max(axis=1)[right]),
        pack(rows[choose(rows, labels)]),
    )


def _limit(found: np.ndarray) -> float:
    """The likeness that few right answers fall short of. A dozen frames do not show such a share: then a Gaussian's."""
    if len(found) < 3:
        return -1.0
    limit = min(float(np.quantile(found, PART * REFUSED, method="lower")), float(found.mean() - _TAIL * found.std()))
    return max(-1.0, float(np.floor(1e4 * limit) / 1e4))


def solve_and_leave_out(features: np.ndarray, labels: np.ndarray, count: int) -> tuple[Head, np.ndarray]:
    """The head of `solve_lda(…, balance=True)`, and the logits (frames, labels) of each frame by all others.
    What is drawn towards the diagonal, and how far, is that of all frames; only the scatter and the mean lose the frame
    that is left out. A label whose only frame is left out is not the answer.
    """
    rows, diagonal, means, counts, shares = within_labels(features, labels, count)
    total = diagonal + np.square(rows).sum(axis=0)
    diagonal = diagonal + np.maximum(max(FLOOR * total.mean(), 1e-12) - total, 0)
    diagonal = np.maximum(diagonal, FLOOR * total)  # frames that are all alike must not leave it without an inverse
    values = np.asarray(features, np.float64)
    away = values - means[labels]
    kernel, turned = np.split(_solve(rows, diagonal, np.concatenate([means, away]).T), [count], axis=1)
    bias = -0.5 * np.einsum("kf,fk->k", means, kernel)

    size = counts[labels]
    part = np.where(size > 1, 1 / np.maximum(size - 1, 1), 0.0)  # by which the mean moves away from the frame
    weight = np.where(size > 1, (1 - shares[labels]) / len(values) * size * part, 0.0)
    own_away = np.einsum("nf,fn->n", away, turned)
    gain = weight / np.maximum(1 - weight * own_away, 1e-9)
    frame_away, mean_away = np.einsum("nf,fn->n", values, turned), (means @ turned).T  # (frames,), (frames, labels)
    logits = values @ kernel + gain[:, None] * frame_away[:, None] * mean_away
    lengths = np.einsum("kf,fk->k", means, kernel) + gain[:, None] * mean_away**2
    every = np.arange(len(values))
    stretch = 1 + gain * own_away
    lengths[every, labels] += stretch * part * (part * own_away - 2 * mean_away[every, labels])
    logits[every, labels] -= part * frame_away * stretch
    logits -= 0.5 * lengths
    logits[every[size == 1], labels[size == 1]] = logits[size == 1].min(axis=1) + NEVER
    # What all labels have in common changes no score, and would take digits of the others in float32.
    return Head(kernel - kernel.mean(axis=1, keepdims=True), bias - bias.mean()), logits


def _solve(rows: np.ndarray, diagonal: np.ndarray, right: np.ndarray) -> np.ndarray:
    """x of (rowsᵀ rows + diag) x = right: rows (frames, features), right (features, any)."""
    if len(rows) >= rows.shape[1] or diagonal.min() < 1e-9 * diagonal.max():
        covariance = rows.T @ rows
        covariance[np.diag_indices_from(covariance)] += diagonal
        return np.linalg.solve(covariance, right)
    scaled = right / diagonal[:, None]
    inner = (rows / diagonal) @ rows.T
    inner[np.diag_indices_from(inner)] += 1
    return scaled - (rows / diagonal).T @ np.linalg.solve(inner, rows @ scaled)


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """That of the least loss, where no target is quite certain (Platt, 1999), of a grid."""
    doubt = 1 / (len(labels) + 2)
    target = np.full(logits.shape, doubt / max(1, logits.shape[1] - 1))
    target[np.arange(len(labels)), labels] = 1 - doubt
    logits = logits - logits.max(axis=1, keepdims=True)

    def loss(temperature: float) -> float:
        values = logits / temperature
        return float((np.log(np.exp(values).sum(axis=1)) - (target * values).sum(axis=1)).mean())

    return float(min(_TEMPERATURES, key=loss))
