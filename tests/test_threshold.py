"""Temperature, shift and threshold against arithmetic by hand, scipy and scikit-learn."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from edge.model.likeness import PART, REFUSED
from train.keras import keras, layers
from train.model import fold_in
from train.promise import promise
from train.threshold import Calibration, crossed_accuracy, threshold_at
from train.threshold import calibrate as calibrate_both


def none_of(labels: int) -> tuple[np.ndarray, np.ndarray]:
    return np.empty((0, labels)), np.empty(0, int)


def calibrate(scores: np.ndarray, truth: np.ndarray) -> Calibration:
    """From validation pictures alone."""
    return calibrate_both((scores, truth), none_of(scores.shape[1]))


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
    assert fitted.false_accept == 0  # both wrong answers are less certain than every right one
    assert 0.5 < fitted.threshold < 0.95


@pytest.mark.parametrize(("refused", "expected"), [(0.0, 0), (0.01, 10), (0.2, 200)])
def test_the_threshold_refuses_the_share_that_is_stated(refused: float, expected: int) -> None:
    right = np.random.default_rng(0).beta(5, 1, 1000)
    threshold = threshold_at(right, refused)
    assert (right < threshold).sum() == pytest.approx(expected, abs=2)  # the threshold has three digits
    assert (right < threshold).sum() <= expected


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.5, -1.25, 0.75)])
def test_what_was_calibrated_can_be_undone(shift: tuple) -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    calibration = Calibration(shift, 2.5, 0.5, None, None, 0, 0)
    by_hand = softmax((np.log(scores) + shift) / 2.5, axis=1)
    assert calibration.apply(scores) == pytest.approx(by_hand)
    assert calibration.undo(by_hand) == pytest.approx(scores)


def test_a_promise_sets_the_threshold_and_pays_for_pictures_like_none() -> None:
    """Right answers that are refused for being unlike leave a greater share of wrong ones among the others."""
    dice = np.random.default_rng(0)
    best = dice.uniform(0.5, 1, 4000)
    truth = np.where(dice.random(4000) < best, 0, 1)
    scores = np.column_stack([best, 1 - best])
    plain, kept = (calibrate_both((scores, truth), promised=asked) for asked in (0.0, 0.2))
    assert plain.promise is None
    assert kept.promise is not None
    assert kept.promise.asked == 0.2
    assert kept.threshold == kept.promise.threshold > plain.threshold
    assert promise(kept.apply(scores), truth, 0.2 * (1 - PART * REFUSED)).threshold == pytest.approx(
        kept.threshold, abs=1e-4
    )
    assert 0.19 < kept.promise.bound < 0.2
    assert (
        calibrate_both((scores[:20], truth[:20]), promised=0.001).threshold < 1
    )  # one that cannot be kept changes nothing


@pytest.mark.parametrize("certainty", [0.2, 1.0, 5.0])
def test_the_temperature_works_on_both_sides_of_one(certainty: float) -> None:
    scores, truth = draws(3, 4000, np.zeros(3), certainty)
    assert calibrate(scores, truth).temperature == pytest.approx(certainty, rel=0.1)


def test_pictures_that_are_all_right_make_no_false_certainty() -> None:
    fitted = calibrate(np.array([[0.99, 0.01]] * 20), np.zeros(20, int))
    assert fitted.apply(np.array([[0.99, 0.01]]))[0, 0] == pytest.approx(21 / 22, abs=0.001)  # as Platt has it
    assert fitted.false_accept is None  # nothing wrong to count
    assert fitted.false_reject == 0


def test_no_right_answer_at_all() -> None:
    fitted = calibrate(np.array([[0.9, 0.1]] * 5), np.ones(5, int))
    assert fitted.false_reject is None
    assert 0 <= fitted.threshold <= 1


def draws(labels: int, count: int, shift: np.ndarray, certainty: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth: Gaussians whose honest logits are shifted and scaled."""
    dice = np.random.default_rng(labels)
    truth = dice.integers(0, labels, count)
    logits = 2.5 * (dice.normal(0, 1, (count, labels)) + 2.5 * np.eye(labels)[truth])  # honest
    return softmax(certainty * (logits - shift), axis=1), truth


@pytest.mark.parametrize("labels", [2, 3, 7])
def test_the_shift_is_that_of_least_loss(labels: int) -> None:
    scores, truth = draws(labels, 3000, np.linspace(-2, 2, labels), 1.0)
    half = slice(0, 1500), slice(1500, 3000)
    validation, train = ((scores[part], truth[part]) for part in half)
    fitted = calibrate_both(validation, train)

    def loss(values: np.ndarray) -> float:
        shifted = np.log(scores) + np.append(values, -values.sum())
        return float(-log_softmax(shifted, axis=1)[np.arange(len(truth)), truth].mean())

    best = minimize(loss, np.zeros(labels - 1), method="BFGS").x
    assert fitted.shift[:-1] == pytest.approx(best, abs=0.02)
    assert sum(fitted.shift) == pytest.approx(0, abs=1e-3)
    before, after = ((values.argmax(axis=1) == truth).mean() for values in (scores, fitted.apply(scores)))
    assert after > before
    assert crossed_accuracy(validation, train) == pytest.approx(after, abs=0.02)


def test_no_training_picture_is_lost_for_a_validation_picture() -> None:
    """By the validation pictures alone the first label would be given to all that lean less than 4 to the second."""
    logits = np.array([-2.0] * 20 + [3.0] * 5 + [6.0] * 20)
    truth = np.array([0] * 25 + [1] * 20)
    learned = np.array([-9.0] * 100 + [3.5] * 2 + [9.0] * 100)
    known = np.array([0] * 100 + [1] * 102)

    def scores(values: np.ndarray) -> np.ndarray:
        return softmax(np.stack([np.zeros_like(values), values], axis=1), axis=1)

    alone = calibrate(scores(logits), truth)
    assert (alone.apply(scores(logits)).argmax(axis=1) == truth).all()
    assert (alone.apply(scores(learned)).argmax(axis=1) != known).any()
    both = calibrate_both((scores(logits), truth), (scores(learned), known))
    assert (both.apply(scores(learned)).argmax(axis=1) == known).all()


def test_a_shift_that_costs_training_pictures_is_dropped() -> None:
    """Classes that overlap: what was learned is honest, what validation shows leans to the first label."""
    honest, known = draws(2, 300, np.zeros(2), 1.0)
    leaning, truth = draws(2, 300, np.array([-6.0, 6.0]), 1.0)
    assert any(calibrate(leaning, truth).shift)  # by validation alone
    fitted = calibrate_both((leaning, truth), (honest, known))
    before, after = ((scores.argmax(axis=1) == known).sum() for scores in (honest, fitted.apply(honest)))
    assert after >= before


def test_balanced_labels_stay_balanced() -> None:
    """A model that was fitted as if there were as many of both labels, on nine times as many of the first."""
    dice = np.random.default_rng(0)
    truth = np.repeat([0, 1], [900, 100])
    half = dice.normal(0, 1, 1000) + 1.2 * np.where(truth == 1, 1, -1)
    even = 2 * 1.2 * half  # the log odds of such Gaussians for even classes
    scores = softmax(np.stack([np.zeros(1000), even], axis=1), axis=1)
    none = none_of(2)
    assert calibrate_both((scores, truth), none).shift[1] < -0.5  # as many as there are
    balanced = calibrate_both((scores, truth), none, balance=True)
    assert balanced.shift == (0, 0)


@pytest.mark.parametrize(
    ("scores", "truth"),
    [
        (draws(3, 600, np.zeros(3), 1.5)[0], draws(3, 600, np.zeros(3), 1.5)[1]),  # no label is said too often
        (np.array([[0.98, 0.02]] * 9 + [[0.3, 0.7]] + [[0.02, 0.98]] * 10), np.repeat([0, 1], 10)),  # one error
        (np.array([[0.99, 0.01]] * 20), np.zeros(20, int)),  # a label without a picture
    ],
)
def test_there_is_no_shift_without_need(scores: np.ndarray, truth: np.ndarray) -> None:
    assert not any(calibrate(scores, truth).shift)


@pytest.mark.parametrize("units", [1, 2, 3])
def test_the_folded_model_gives_the_calibrated_scores(units: int) -> None:
    """One unit: a sigmoid for two labels."""
    labels = max(2, units)
    scores, truth = draws(labels, 500, np.linspace(-2, 2, labels), 3.0)
    logits = np.log(scores)
    inputs = (logits[:, 1:] - logits[:, :1]) if units == 1 else logits
    image = keras.Input((inputs.shape[1],))
    dense = layers.Dense(units, kernel_initializer="identity", name="logits")(image)
    model = keras.Model(image, layers.Activation("sigmoid" if units == 1 else "softmax")(dense))
    fitted = calibrate(scores, truth)
    assert any(fitted.shift)
    fold_in(model, fitted)
    found = model.predict(inputs, verbose=0)
    found = np.hstack([1 - found, found]) if units == 1 else found
    assert np.allclose(found, fitted.apply(scores), atol=1e-5)
