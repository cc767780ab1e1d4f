"""Makes the scores honest, and finds the score below which the answer should be "unknown".

A temperature (Guo et al., "On Calibration of Modern Neural Networks", 2017) makes scores more or less certain, as
pictures show that the head was not fitted on. The threshold is the score that a stated share of their right answers
falls short of.

After a fit in epochs there is a shift too: where it is plain that the model says some labels too often, their logits
are shifted (bias-corrected temperature scaling: Alexandari et al., "Maximum Likelihood with Bias-Corrected
Calibration", 2020). It is fitted on all pictures, and dropped where it would gain validation pictures at the price of
training pictures. Shift and temperature are folded into the last layers, so that every file exported from the model, in
every runtime, has them; the threshold and its measured rates go into the contract.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from edge.model.contract import ModelSpec
from edge.model.head import softmax
from edge.model.likeness import PART, REFUSED
from train.promise import Promise, promise

_TEMPERATURES = 0.05, 20.0
_FOLDS = 5


@dataclass(frozen=True)
class Calibration:
    """What was fitted, and what it does on the pictures it was fitted on.

    Attributes:
        shift: what is added to the logits, one value a label; their sum is 0.
        temperature: what they are divided by then.
        threshold: the smallest score, 0 to 1, for an answer.
        false_reject: share of the right answers that become unknown; None if there is no right answer.
        false_accept: share of the wrong answers that are still given; None if there is no wrong answer.
        right, wrong: how many pictures the shares are of.
        promise: what can be promised of the answers, where that was asked for; it makes the threshold, if it holds.
    """

    shift: tuple[float, ...]
    temperature: float
    threshold: float
    false_reject: float | None
    false_accept: float | None
    right: int
    wrong: int
    promise: Promise | None = None

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Scores (pictures, labels) as the finished model gives them."""
        return softmax((_logits(scores) + self.shift) / self.temperature)

    def undo(self, scores: np.ndarray) -> np.ndarray:
        """The scores that `apply` made these of."""
        return softmax(_logits(scores) * self.temperature - self.shift)


Answers = tuple[np.ndarray, np.ndarray]  # scores before, float (pictures, labels), and the true labels, int (pictures,)


def calibrate(
    held_out: Answers,
    train: Answers | None = None,
    balance: bool = False,
    refused: float = REFUSED,
    promised: float = 0.0,
) -> Calibration:
    """Fit temperature and threshold to what a model says of pictures that it was not fitted on, and perhaps a shift.

    Args:
        train: what it says of those that it was fitted on: without them there is no shift.
        balance: each label counts the same for the shift, however many pictures it has, as in the fit before.
        refused: the share of right answers, 0 to 1, that may score below the threshold.
        promised: the share of the given answers that may be wrong; 0 promises nothing.
    """
    scores, truth = held_out
    shift = np.zeros(scores.shape[1]) if train is None else _shift(held_out, train, balance)
    logits = _logits(scores)
    logits += shift
    temperature = _temperature(logits, truth)
    logits /= temperature
    calibrated = softmax(logits)
    best = calibrated.max(axis=1)
    right = calibrated.argmax(axis=1) == truth
    threshold = threshold_at(best[right], refused)
    told = None
    if promised:
        # What else gets no answer, as it is like no picture, leaves fewer to be wrong among: a part of the right ones.
        told = promise(calibrated, truth, promised * (1 - PART * REFUSED))
        told = replace(told, asked=promised)
        threshold = threshold if told.threshold is None else told.threshold
    given = best >= threshold
    return Calibration(
        tuple(round(float(value), 4) for value in shift),
        round(temperature, 4),
        threshold,
        float((~given[right]).mean()) if right.any() else None,
        float(given[~right].mean()) if not right.all() else None,
        int(right.sum()),
        int((~right).sum()),
        told,
    )


def threshold_at(right: np.ndarray, refused: float) -> float:
    """The score that at most the share `refused` of the right answers, float (answers,), falls short of."""
    if not len(right):
        return 0.0
    return max(0.0, float(np.floor(1000 * np.quantile(right, refused, method="lower")) / 1000))


def crossed_accuracy(validation: Answers, train: Answers, balance: bool = False) -> float:
    """The share of right answers, 0 to 1, where each fifth of the validation pictures had no say in what was fitted."""
    scores, truth = validation
    fold = np.empty(len(truth), int)
    fold[np.argsort(truth, kind="stable")] = np.arange(len(truth)) % _FOLDS  # as many of each label in all
    right = 0
    for number in range(_FOLDS):
        others = fold != number
        shift = _shift((scores[others], truth[others]), train, balance)
        right += int(((_logits(scores[~others]) + shift).argmax(axis=1) == truth[~others]).sum())
    return right / len(truth)


def _temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """That of the least loss, where no target is quite certain (Platt, "Probabilistic outputs for support vector
    machines", 1999): pictures that are all classified right would want no doubt at all otherwise."""
    doubt = 1 / (len(truth) + 2)
    target = np.full(logits.shape, doubt / (logits.shape[1] - 1))
    target[np.arange(len(truth)), truth] = 1 - doubt

    def loss(power: float) -> float:
        values = logits / np.exp(power)
        values -= values.max(axis=1, keepdims=True)
        wanted = np.einsum("pl,pl->p", target, values)
        return float((np.log(np.exp(values, out=values).sum(axis=1)) - wanted).mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4}).x))


def _shift(validation: Answers, train: Answers, balance: bool) -> np.ndarray:
    """The shift (labels,) of least loss over both splits; zeros if it is not worth its parameters (Schwarz's BIC), or
    costs training pictures.
    """
    scores, truth = (np.concatenate(values) for values in zip(validation, train, strict=True))
    logits = _logits(scores)
    pictures, labels = logits.shape
    counts = np.bincount(truth, minlength=labels)
    none = np.zeros(labels)
    if not counts.all():
        return none
    target = np.eye(labels)[truth]
    weights = (pictures / (labels * counts))[truth] if balance else np.ones(pictures)

    def loss(shift: np.ndarray) -> tuple[float, np.ndarray]:
        scores = softmax(logits + shift)
        return _loss(scores, truth, weights), (weights[:, None] * (scores - target)).mean(axis=0)

    def right_in_training(shift: np.ndarray) -> float:
        own = slice(len(validation[1]), None)
        return float(weights[own][(logits[own] + shift).argmax(axis=1) == truth[own]].sum())

    found = minimize(loss, none, jac=True, method="L-BFGS-B")
    size = weights.sum() ** 2 / (weights**2).sum()  # of as telling a sample without weights (Kish, 1965)
    worth = size * (loss(none)[0] - found.fun) > (labels - 1) / 2 * np.log(size)
    shift = found.x - found.x.mean()
    return shift if worth and right_in_training(shift) >= right_in_training(none) else none


def _logits(scores: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(scores.astype(np.float64), 1e-30))


def _loss(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray | float = 1.0) -> float:
    return float((-np.log(np.maximum(scores[np.arange(len(truth)), truth], 1e-30)) * weights).mean())


def in_contract(spec: ModelSpec, fitted: Calibration) -> ModelSpec:
    """The contract with what was fitted and its rates."""
    rates: dict[str, Any] = {
        "false_reject": fitted.false_reject,
        "false_accept": fitted.false_accept,
        "right": fitted.right,
        "wrong": fitted.wrong,
    }
    if fitted.promise:
        rates["promise"] = asdict(fitted.promise)
    provenance = {**spec.provenance, "threshold": rates}
    return replace(spec, temperature=fitted.temperature, threshold=fitted.threshold, provenance=provenance)
