"""Solves the head of a frozen backbone: a few candidates, and the one that does best on pictures it was not fitted on.

Every candidate is fitted once for each of five folds, to the pictures of the others. Of the candidates that are right
as often as the best one, but for what chance would make of it, the one of least log-loss is taken. The honest accuracy
comes out of twenty folds, so that the heads are nearly what the finished one is: the pictures of each are answered by
the candidate that the other pictures chose, fitted to those.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from edge.errors import UserError
from edge.model.head import NEVER, Head
from train.dataset import Picture

FOLDS = 20  # that the figures come from: with five, each head has a fifth fewer pictures, and is up to two points worse
_COARSE = 5  # folds that candidates are compared in, each of several of those
_WORK = 1.5e12  # multiplications that the logistic candidates may take in all: ten to thirty seconds
_ITERATIONS = 60
_AT_ONCE = 4  # folds: each has a copy of its rows
TEMPERATURES = np.geomspace(0.1, 100, 32)  # tried on every candidate
_ROWS = 1024  # pictures whose losses are counted at a time: all at once take gigabytes where there are many labels


T = TypeVar("T")


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


# The strong ones first: each fit of the logistic kind starts where the one before it ended.
CANDIDATES = (
    *(Candidate("lda", share) for share in (0.9, 0.6, 0.3, 0.1)),
    *(Candidate("logistic", strength) for strength in (0.1, 0.01)),
)


@dataclass(frozen=True)
class Solution:
    """A solved head and how it was found.

    Attributes:
        head: fitted to all pictures; its scores are as certain as pictures held out say.
        candidate: what was chosen.
        accuracy, loss: of each candidate, on pictures that it was not fitted on.
        held_out: logits (pictures, labels) of heads that were neither fitted on the picture nor chosen by it.
        left_out: kinds that were not tried, with the reason.
    """

    head: Head
    candidate: Candidate
    accuracy: dict[Candidate, float]
    loss: dict[Candidate, float]
    held_out: np.ndarray
    left_out: dict[str, str]


def folds(pictures: Sequence[Picture], seed: int = 0, count: int = FOLDS) -> np.ndarray:
    """The fold of each picture, int (pictures,): as many of each label in all, and no group in two.

    It depends on the contents, labels and groups of the pictures and on the seed, and on nothing else.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for place, picture in enumerate(pictures):
        groups[picture.group or picture.digest].append(place)
    order = sorted(groups, key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest())
    order.sort(key=lambda group: -len(groups[group]))  # the large ones first: the small ones then even it out
    found = np.empty(len(pictures), np.int64)
    of_label: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(count, np.int64))
    in_all = np.zeros(count, np.int64)
    for group in order:
        label = pictures[groups[group][0]].label
        fold = int(np.lexsort((in_all, of_label[label]))[0])
        found[groups[group]] = fold
        of_label[label][fold] += len(groups[group])
        in_all[fold] += len(groups[group])
    return found


def solve(
    features: np.ndarray,
    labels: np.ndarray,
    count: int,
    fold: np.ndarray,
    fit: str = "auto",
    balance: bool = False,
    views: Sequence[np.ndarray] = (),
) -> Solution:
    """Choose a head by cross-validation, and fit it to all pictures.

    Args:
        features: float32 (pictures, features), finite.
        labels: int (pictures,), 0 to `count` - 1.
        fold: int (pictures,), of `folds`.
        fit: "auto" tries all candidates, "lda" and "logistic" those of one kind.
        balance: each label counts the same, however many pictures it has.
        views: more features of the same pictures, each like `features`: fitted on, but not asked.

    Raises:
        UserError: if there are features that are no numbers.
    """
    space = Space(features, labels, count, views, balance)
    candidates = [each for each in CANDIDATES if fit in ("auto", each.kind)]
    coarse = fold % _COARSE
    left_out = {}
    tries = (_COARSE + 1) * sum(each.kind == "logistic" for each in candidates) * _ITERATIONS
    work = 2 * space.rows.size * count * tries
    if fit == "auto" and work > _WORK:
        left_out["logistic"] = f"some {work / 1e12:.0f} million million multiplications; --fit logistic does it"
        candidates = [each for each in candidates if each.kind == "lda"]
    logits = {each: np.empty((len(labels), count), np.float32) for each in candidates}
    heads: dict[tuple[Candidate, int], Head] = {}
    numbers = np.unique(coarse)
    of_folds = side_by_side(lambda number: space.fit(candidates, coarse != number), numbers)
    for number, fitted in zip(numbers, of_folds, strict=True):
        own = coarse == number
        for candidate, head in zip(candidates, fitted, strict=True):
            heads[candidate, number] = head
            logits[candidate][own] = space.answers(head, own)
    weights = _weights(labels, count, balance)
    tables = {each: log_losses(logits[each], labels) for each in candidates}
    right = {each: logits[each].argmax(axis=1) == labels for each in candidates}

    def best(among: np.ndarray) -> tuple[Candidate, float]:
        """What these pictures choose, bool (pictures,), and its temperature."""
        chosen = _choose({each: right[each][among] for each in candidates},
                         {each: tables[each][among] for each in candidates}, weights[among])  # fmt: skip
        mean = weights[among] @ tables[chosen][among]
        return chosen, float(TEMPERATURES[mean.argmin()])

    held_out = np.empty((len(labels), count), np.float32)

    def answer(number: int) -> None:
        own = fold == number
        chosen, temperature = best(~own)
        # The search begins at a head that has not seen these pictures either.
        (head,) = space.fit([chosen], ~own, heads[chosen, number % _COARSE])
        held_out[own] = space.answers(head, own) / temperature

    side_by_side(answer, np.unique(fold))
    everything = np.ones(len(labels), bool)
    chosen, temperature = best(everything)
    (found,) = space.fit([chosen], everything, heads[chosen, fold[0] % _COARSE])
    head = space.back(found)
    share = weights / weights.sum()
    return Solution(
        Head(head.kernel / temperature, head.bias / temperature),
        chosen,
        {each: float(share @ right[each]) for each in candidates},
        {each: float((share @ tables[each]).min()) for each in candidates},
        held_out,
        left_out,
    )


def heads_of_folds(
    features: np.ndarray, labels: np.ndarray, count: int, fold: np.ndarray, candidate: Candidate, balance: bool = False
) -> list[Head]:
    """A head for each fold, 0 to the last, solved by one candidate on the pictures of the others.

    Args:
        features, labels, count, fold, balance: as for `solve`.
    """
    space = Space(features, labels, count, (), balance)
    found = side_by_side(lambda number: space.fit([candidate], fold != number)[0], range(int(fold.max()) + 1))
    return [space.back(head) for head in found]


def side_by_side(fit: Callable[[int], T], folds: Iterable[int]) -> list[T]:
    """What a function gives for each fold, several at a time.

    With a thread each for the products too: those of a head are thin, and wait for their threads longer than they take.
    """
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(os.cpu_count() or 1, _AT_ONCE)) as pool:
        return list(pool.map(fit, folds))


def _choose(right: dict[Candidate, np.ndarray], losses: dict[Candidate, np.ndarray], weights: np.ndarray) -> Candidate:
    """The least loss at its best temperature among those that are right as often as the best one, within one standard
    error of the difference: picture by picture, as both answer the same ones."""
    best = max(right, key=lambda each: weights @ right[each])
    good = []
    for each, answers in right.items():
        difference = weights * (right[best].astype(float) - answers)
        if difference.sum() <= np.sqrt(np.square(difference).sum()):
            good.append(each)
    return min(good, key=lambda each: (weights @ losses[each]).min())


def log_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The log-loss of each picture at each temperature, float64 (pictures, temperatures).

    The target is not quite certain, as Platt ("Probabilistic outputs for support vector machines", 1999) has it: where
    all answers are right, there would be no best temperature otherwise.
    """
    doubt = 1 / (len(labels) + 2)
    others = max(1, logits.shape[1] - 1)
    table = np.empty((len(labels), len(TEMPERATURES)))
    for start in range(0, len(labels), _ROWS):
        part = slice(start, start + _ROWS)
        shifted = logits[part] - logits[part].max(axis=1, keepdims=True)
        own, total = shifted[np.arange(len(shifted)), labels[part]], shifted.sum(axis=1)
        for column, temperature in enumerate(TEMPERATURES):
            norm = np.log(np.exp(shifted / np.float32(temperature)).sum(axis=1))
            rest = (total - own) / temperature / others - norm
            table[part, column] = -(1 - doubt) * (own / temperature - norm) - doubt * rest
    return table


def _weights(labels: np.ndarray, count: int, balance: bool) -> np.ndarray:
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
                weights = _weights(self.labels[rows], self.count, self.balance)
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
    options = {"maxiter": _ITERATIONS, "ftol": 1e-7, "gtol": 1e-5}
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(width + 1, count)
    kernel, bias = found[:-1], found[-1]
    bias[~seen] = bias[seen].mean() + NEVER
    return Head(kernel.astype(np.float32), bias)
