"""Solves one head of a frozen backbone: LDA in closed form or logistic regression, on the features of some pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from edge.errors import UserError
from edge.model.head import NEVER, Head

ITERATIONS = 60  # of the logistic kind, at most


@dataclass(frozen=True)
class Candidate:
    """A kind of head, "lda" or "logistic", and its strength.

    Attributes:
        strength: of LDA, how far the covariance is drawn to its diagonal; of logistic regression, half of what a unit
            of the squared weights costs, where the loss is a mean over the pictures and the features have unit
            variance within the labels.
    """

    kind: str
    strength: float

    def __str__(self) -> str:
        return f"{self.kind} {self.strength:g}"


def weights_of(labels: np.ndarray, count: int, balance: bool) -> np.ndarray:
    """What each picture counts, float64 (pictures,), their mean 1."""
    if not balance:
        return np.ones(len(labels))
    counts = np.bincount(labels, minlength=count)
    return (len(labels) / ((counts > 0).sum() * np.maximum(counts, 1)))[labels]


class Space:
    """The features with unit variance within the labels; turned so that there are no more of them than rows.

    Both kinds of head are blind to a turn: what costs is the same in every direction.
    """

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, count: int, views: Sequence[np.ndarray], balance: bool
    ) -> None:
        self.count, self.balance, self.copies = count, balance, 1 + len(views)
        rows = np.concatenate([features, *views]).astype(np.float32, copy=False)
        if not np.isfinite(rows).all():
            raise UserError(
                f"features: expected finite numbers, found others in {int((~np.isfinite(rows)).any(axis=1).sum())} "
                f"of {len(rows)} rows; are the weights of the backbone sound?"
            )
        self.labels = np.tile(labels, self.copies)
        means = _means(rows, self.labels, count)
        self.centre = rows.mean(axis=0)
        variance = np.zeros(rows.shape[1])
        for start in range(0, len(rows), 4096):
            part = slice(start, start + 4096)
            variance += np.square(rows[part] - means[self.labels[part]]).sum(axis=0)
        scale = np.sqrt(variance / len(rows))
        self.scale = np.maximum(scale, 1e-3 * scale.mean() + 1e-12).astype(np.float32)
        rows -= self.centre
        rows /= self.scale
        self.turn: np.ndarray | None = None
        if len(rows) < rows.shape[1]:
            exact = rows.astype(np.float64)
            products = exact @ exact.T
            # Rows that are alike leave directions without length: a trifle keeps them from being divided by nothing.
            products[np.diag_indices_from(products)] += 1e-6 * products.trace() / len(rows) + 1e-12
            lower = cholesky(products, lower=True, overwrite_a=True)
            self.turn = solve_triangular(lower, exact, lower=True, overwrite_b=True).T.astype(np.float32)
            rows = rows @ self.turn
        self.rows = rows
        self.all = self._sums(np.ones(len(rows), bool))

    def _sums(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Counts (labels,), totals (labels, width) and squares (width, width) of the rows that are asked for."""
        own, labels = self.rows[rows], self.labels[rows]
        counts = np.bincount(labels, minlength=self.count)
        return counts, _means(own, labels, self.count) * counts[:, None], (own.T @ own).astype(np.float64)

    def answers(self, head: Head, pictures: np.ndarray) -> np.ndarray:
        """Logits of the pictures, bool (pictures,), without their views, by a head of this space."""
        return self.rows[: len(pictures)][pictures] @ head.kernel + head.bias

    def fit(self, candidates: Sequence[Candidate], pictures: np.ndarray, start: Head | None = None) -> list[Head]:
        """The heads of the candidates, fitted to the pictures, bool (pictures,), in this space.

        Args:
            start: where a search begins.
        """
        rows = np.tile(pictures, self.copies)
        counts, totals, squares = self.all
        if not pictures.all():  # what is left out is the smaller part
            counts, totals, squares = (a - b for a, b in zip(self.all, self._sums(~rows), strict=True))
        heads: list[Head] = []
        for candidate in candidates:
            if candidate.kind == "lda":
                heads.append(_lda(counts, totals, squares, candidate.strength, self.balance))
            else:
                weights = weights_of(self.labels[rows], self.count, self.balance)
                start = solve_logistic(
                    self.rows[rows], self.labels[rows], self.count, candidate.strength, weights, start
                )
                heads.append(start)
        return heads

    def back(self, head: Head) -> Head:
        """A head of this space as one of the features themselves."""
        kernel = head.kernel.astype(np.float64)
        if self.turn is not None:
            kernel = self.turn @ kernel
        kernel = kernel / self.scale[:, None]
        return Head(kernel, head.bias - self.centre.astype(np.float64) @ kernel)


def _means(rows: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The mean of the rows of each label, float32 (labels, width)."""
    means = np.zeros((count, rows.shape[1]), np.float32)
    for label in np.unique(labels):
        means[label] = rows[labels == label].mean(axis=0)
    return means


def _lda(counts: np.ndarray, totals: np.ndarray, squares: np.ndarray, share: float, balance: bool) -> Head:
    """`edge.model.head.solve_lda` out of sums, whose features have unit variance within the labels."""
    seen = counts > 0
    means = totals / np.maximum(counts, 1)[:, None]
    within = (squares - (means.T * counts) @ means) / counts.sum()
    within *= 1 - share
    within[np.diag_indices_from(within)] += share
    kernel = cho_solve(cho_factor(within.astype(np.float32), overwrite_a=True), means.T.astype(np.float32))
    prior = np.where(seen, 1.0 if balance else counts, 1.0)
    bias = np.log(prior / prior[seen].sum()) - 0.5 * np.einsum("kf,fk->k", means, kernel)
    kernel[:, ~seen] = kernel[:, seen].mean(axis=1, keepdims=True)
    bias[~seen] = bias[seen].mean() + NEVER
    return Head(kernel, bias)


def solve_logistic(
    rows: np.ndarray,
    labels: np.ndarray,
    count: int,
    strength: float,
    weights: np.ndarray | None = None,
    start: Head | None = None,
) -> Head:
    """L2-regularized multinomial logistic regression, by L-BFGS.

    Least mean log-loss, plus half of `strength` times the squared weights; the bias is free.

    Args:
        rows: float32 (rows, features).
        labels: int (rows,), 0 to `count` - 1. A label without a row is never the answer.
        weights: what each row counts, their mean 1.
        start: where the search begins.
    """
    width, pictures = rows.shape[1], len(rows)
    seen = np.bincount(labels, minlength=count) > 0
    share = (np.ones(pictures) if weights is None else weights).astype(np.float32)[:, None] / pictures
    places = np.arange(pictures)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        table = flat.reshape(width + 1, count)
        kernel = table[:-1].astype(np.float32)
        logits = rows @ kernel + table[-1].astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        own = logits[places, labels]
        np.exp(logits, out=logits)
        norm = logits.sum(axis=1, keepdims=True)
        value = float((share[:, 0].astype(np.float64) * (np.log(norm[:, 0]) - own)).sum())
        logits /= norm
        logits[places, labels] -= 1
        logits *= share
        slope = np.empty_like(table)
        slope[:-1] = rows.T @ logits
        slope[:-1] += strength * table[:-1]
        slope[-1] = logits.sum(axis=0)
        return value + 0.5 * strength * float(np.square(table[:-1]).sum()), slope.ravel()

    first = np.zeros((width + 1, count))
    if start is not None:
        first[:-1], first[-1] = start.kernel, np.where(seen, start.bias, 0)
    options = {"maxiter": ITERATIONS, "ftol": 1e-7, "gtol": 1e-5}
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(width + 1, count)
    kernel, bias = found[:-1], found[-1]
    bias[~seen] = bias[seen].mean() + NEVER
    return Head(kernel.astype(np.float32), bias)
