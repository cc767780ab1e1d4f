"""Makes the scores honest, and finds the score below which the answer should be "unknown".

Where it is plain that the model says some labels too often, their logits are shifted (bias-corrected temperature
scaling: Alexandari et al., "Maximum Likelihood with Bias-Corrected Calibration", 2020). The shift is fitted on all
pictures, and dropped where it would gain validation pictures at the price of training pictures; then a temperature
(Guo et al., "On Calibration of Modern Neural Networks", 2017) and the threshold on those of validation. Shift and
temperature are folded into the last layer, so that every file exported from the model, in every runtime, has them; the
threshold and its measured rates go into the contract.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from edge.model.contract import ModelSpec

if TYPE_CHECKING:
    from train.keras import keras

# Scores are only ever made less certain: pictures that are all classified right would want no doubt at all.
_TEMPERATURES = 1.0, 10.0
_REFUSED = 0.005  # share of right answers that may score below what the threshold is made from
_FOLDS = 5


@dataclass(frozen=True)
class Calibration:
    """What was fitted, and what it does on the pictures it was fitted on.

    Attributes:
        shift: what is added to the logits, one value a label; their sum is 0.
        temperature: what they are divided by then, 1 or more.
        threshold: the smallest score, 0 to 1, for an answer.
        false_reject: share of the right answers that become unknown; None if there is no right answer.
        false_accept: share of the wrong answers that are still given; None if there is no wrong answer.
        right, wrong: how many pictures the shares are of.
    """

    shift: tuple[float, ...]
    temperature: float
    threshold: float
    false_reject: float | None
    false_accept: float | None
    right: int
    wrong: int

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Scores (pictures, labels) as the finished model gives them."""
        return _softmax((_logits(scores) + self.shift) / self.temperature)


Answers = tuple[np.ndarray, np.ndarray]  # scores before, float (pictures, labels), and the true labels, int (pictures,)


def calibrate(validation: Answers, train: Answers, balance: bool = False) -> Calibration:
    """Fit shift, temperature and threshold to what a model says of the pictures of both splits.

    Args:
        balance: each label counts the same for the shift, however many pictures it has, as in the fit before.
    """
    scores, truth = validation
    shift, temperature = _fit(validation, train, balance)
    calibrated = _softmax((_logits(scores) + shift) / temperature)
    best = calibrated.max(axis=1)
    right = calibrated.argmax(axis=1) == truth
    allowed = float(np.quantile(best[right], _REFUSED, method="lower")) if right.any() else 0.0
    # Half-way down to an even chance: no validation set shows what a camera will, and what differs from it but a little
    # should not be refused.
    chance = 1 / scores.shape[1]
    threshold = max(0.0, float(np.floor(1000 * (chance + (allowed - chance) / 2)) / 1000))
    given = best >= threshold
    return Calibration(
        tuple(round(float(value), 4) for value in shift),
        round(temperature, 4),
        threshold,
        float((~given[right]).mean()) if right.any() else None,
        float(given[~right].mean()) if not right.all() else None,
        int(right.sum()),
        int((~right).sum()),
    )


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


def _fit(validation: Answers, train: Answers, balance: bool) -> tuple[np.ndarray, float]:
    """Shift (labels,) and temperature."""
    shift = _shift(validation, train, balance)
    logits, truth = _logits(validation[0]) + shift, validation[1]
    best = minimize_scalar(
        lambda temperature: _loss(_softmax(logits / temperature), truth), bounds=_TEMPERATURES, method="bounded"
    )
    # The search stays a little within its bounds.
    return shift, 1.0 if _loss(_softmax(logits), truth) <= best.fun else float(best.x)


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
        scores = _softmax(logits + shift)
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


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _loss(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray | float = 1.0) -> float:
    return float((-np.log(np.maximum(scores[np.arange(len(truth)), truth], 1e-30)) * weights).mean())


def fold_in(model: "keras.Model", fitted: Calibration) -> None:
    """Shift the logits of a classifier and divide them by the temperature, in its last layer with weights."""
    layer = model.get_layer("logits")
    kernel, bias = layer.get_weights()
    shift = np.array(fitted.shift, bias.dtype)
    # One sigmoid stands for the logits 0 and z of two labels.
    bias = bias + (shift if len(bias) == len(shift) else shift[1] - shift[0])
    layer.set_weights([kernel / fitted.temperature, bias / fitted.temperature])


def in_contract(spec: ModelSpec, fitted: Calibration) -> ModelSpec:
    """The contract with what was fitted and its rates."""
    rates: dict[str, Any] = {
        "false_reject": fitted.false_reject,
        "false_accept": fitted.false_accept,
        "right": fitted.right,
        "wrong": fitted.wrong,
    }
    provenance = {**spec.provenance, "threshold": rates}
    return replace(spec, temperature=fitted.temperature, threshold=fitted.threshold, provenance=provenance)
