"""Makes the scores honest, and finds the score below which the answer should be "unknown".

Both are fitted on validation pictures. The temperature (Guo et al., "On Calibration of Modern Neural Networks", 2017)
is folded into the last layer, so that every file exported from the model, in every runtime, has it; the threshold and
its measured rates go into the contract.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge.contract import ModelSpec
from train.keras import keras

# Scores are only ever made less certain: pictures that are all classified right would want no doubt at all.
_TEMPERATURES = np.geomspace(1, 10, 400)
_REFUSED = 0.005  # share of right answers that may score below what the threshold is made from


@dataclass(frozen=True)
class Calibration:
    """What was fitted, and what it does on the pictures it was fitted on.

    Attributes:
        temperature: what the logits are divided by, 1 or more.
        threshold: the smallest score, 0 to 1, for an answer.
        false_reject: share of the right answers that become unknown; None if there is no right answer.
        false_accept: share of the wrong answers that are still given; None if there is no wrong answer.
        right, wrong: how many pictures the shares are of.
    """

    temperature: float
    threshold: float
    false_reject: float | None
    false_accept: float | None
    right: int
    wrong: int


def calibrate(scores: np.ndarray, truth: np.ndarray) -> Calibration:
    """Fit temperature and threshold.

    Args:
        scores: softmax scores before, float (pictures, labels).
        truth: the label of each picture, int (pictures,).
    """
    logits = np.log(np.maximum(scores.astype(np.float64), 1e-30))
    losses = [_loss(_softmax(logits / temperature), truth) for temperature in _TEMPERATURES]
    temperature = float(_TEMPERATURES[int(np.argmin(losses))])
    calibrated = _softmax(logits / temperature)
    best = calibrated.max(axis=1)
    right = calibrated.argmax(axis=1) == truth
    allowed = float(np.quantile(best[right], _REFUSED, method="lower")) if right.any() else 0.0
    # Half-way down to an even chance: no validation set shows what a camera will, and what differs from it but a little
    # should not be refused.
    chance = 1 / scores.shape[1]
    threshold = max(0.0, float(np.floor(1000 * (chance + (allowed - chance) / 2)) / 1000))
    given = best >= threshold
    return Calibration(
        round(temperature, 4),
        threshold,
        float((~given[right]).mean()) if right.any() else None,
        float(given[~right].mean()) if not right.all() else None,
        int(right.sum()),
        int((~right).sum()),
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _loss(scores: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(np.maximum(scores[np.arange(len(truth)), truth], 1e-30)).mean())


def fold_temperature(model: keras.Model, temperature: float) -> None:
    """Divide the logits of a classifier by a temperature, in its last layer with weights."""
    layer = model.get_layer("logits")
    layer.set_weights([weights / temperature for weights in layer.get_weights()])


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
