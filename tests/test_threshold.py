"""Temperature and threshold against arithmetic by hand and scipy."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from train.threshold import calibrate


def test_the_temperature_is_that_of_least_loss() -> None:
    dice = np.random.default_rng(0)
    truth = dice.integers(0, 3, 2000)
    logits = dice.normal(0, 1, (2000, 3)) + 1.5 * np.eye(3)[truth]  # honest as they are
    scores = np.exp(4 * logits) / np.exp(4 * logits).sum(axis=1, keepdims=True)  # four times too certain

    def loss(temperature: float) -> float:
        powers = np.log(scores) / temperature
        powers -= powers.max(axis=1, keepdims=True)
        return float(-(powers[np.arange(2000), truth] - np.log(np.exp(powers).sum(axis=1))).mean())

    best = minimize_scalar(loss, bounds=(1, 10), method="bounded").x
    fitted = calibrate(scores, truth)
    assert fitted.temperature == pytest.approx(best, rel=0.01)
    assert fitted.temperature == pytest.approx(4 / 1.5, rel=0.1)  # the logits of such Gaussians are 1.5 times the draws


def test_rates_are_counted_on_the_pictures() -> None:
    scores = np.array([[0.9, 0.1]] * 8 + [[0.3, 0.7], [0.49, 0.51]])
    fitted = calibrate(scores, np.array([0] * 10))
    assert (fitted.right, fitted.wrong) == (8, 2)
    assert fitted.false_reject == 0
    assert fitted.false_accept in (0.0, 0.5)
    assert 0.5 < fitted.threshold < 0.9


def test_pictures_that_are_all_right_make_no_false_certainty() -> None:
    fitted = calibrate(np.array([[0.99, 0.01]] * 20), np.zeros(20, int))
    assert fitted.temperature == 1
    assert fitted.false_accept is None  # nothing wrong to count
    assert fitted.threshold == pytest.approx(0.745, abs=0.001)  # half-way from 0.5 to 0.99


def test_no_right_answer_at_all() -> None:
    fitted = calibrate(np.array([[0.9, 0.1]] * 5), np.ones(5, int))
    assert fitted.false_reject is None
    assert 0 <= fitted.threshold <= 1
