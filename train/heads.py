"""Chooses the head of a frozen backbone: of a few candidates, the one that does best on pictures it was not fitted on.

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
from threadpoolctl import threadpool_limits

from edge.model.head import Head
from train.dataset import Picture
from train.space import ITERATIONS, Candidate, Space, weights_of

FOLDS = 20  # that the figures come from: with five, each head has a fifth fewer pictures, and is up to two points worse
_COARSE = 5  # folds that candidates are compared in, each of several of those
_WORK = 1.5e12  # multiplications that the logistic candidates may take in all: ten to thirty seconds
_AT_ONCE = 4  # folds: each has a copy of its rows
TEMPERATURES = np.geomspace(0.1, 100, 32)  # tried on every candidate
_ROWS = 1024  # pictures whose losses are counted at a time: all at once take gigabytes where there are many labels


T = TypeVar("T")


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
    tries = (_COARSE + 1) * sum(each.kind == "logistic" for each in candidates) * ITERATIONS
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
    weights = weights_of(labels, count, balance)
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
