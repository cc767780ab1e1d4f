"""The figures of the proof, against scipy, against simulation, and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

from convert.stats import calibration_error, compare, drop_interval, mcnemar, pictures_needed, verdict

COUNT = st.integers(0, 400)


@given(COUNT, COUNT)
def test_mcnemar_is_the_exact_binomial_test(lost: int, won: int) -> None:
    expected = binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    assert mcnemar(lost, won) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("lost", "won", "pictures"),
    [
        (0.02, 0.0, 200),  # a real drop
        (0.02, 0.02, 200),  # answers change, accuracy does not
        (0.0, 0.01, 500),  # better than before
        (0.1, 0.05, 100),  # much of everything
    ],
)
def test_the_interval_holds_the_true_drop_as_often_as_it_says(lost: float, won: float, pictures: int) -> None:
    draws = np.random.default_rng(0).multinomial(pictures, [lost, won, 1 - lost - won], 4000)
    ends = np.array([drop_interval(a, b, pictures) for a, b, _ in draws])
    truth = 100 * (lost - won)
    share = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
    assert share >= 0.87  # 90 % is meant; more where hardly anything changes


@pytest.mark.parametrize(
    ("lost", "won", "pictures", "tolerance", "expected"),
    [
        (0, 0, 256, 1.0, "pass"),  # no change in 256: at most 0.90 points
        (0, 0, 24, 1.0, "undecided"),  # no change, but hardly any pictures
        (1, 0, 256, 1.0, "undecided"),  # one: 0.39 measured, up to 1.49
        (1, 0, 2560, 1.0, "pass"),  # the same one in ten times as many
        (20, 2, 256, 1.0, "fail"),  # 7 points
        (12, 12, 256, 5.0, "pass"),  # changes that even out
        (8, 0, 256, 1.0, "fail"),  # 3.1 measured, at least 1.07
        (4, 0, 256, 1.0, "undecided"),  # 1.6 measured, but 0.5 is possible
        (0, 9, 256, 0.0, "pass"),  # better than before: no loss
    ],
)
def test_the_verdict(lost: int, won: int, pictures: int, tolerance: float, expected: str) -> None:
    figures = {
        "lost": lost,
        "won": won,
        "drop_interval_points": drop_interval(lost, won, pictures),
        "score_change": {"largest": 0.5},
        "agreement": 1.0,
    }
    found = verdict(figures, pictures, tolerance)
    assert found.partition(":")[0] == expected
    if expected == "undecided":
        assert int(found.split()[1]) == pictures_needed(lost, won, pictures, tolerance) > 0
        assert found.endswith(" more pictures needed")


def test_the_same_scores_pass_however_few_the_pictures() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    figures = compare(scores, scores + 1e-6, np.array([0, 1]), ("a", "b"))
    assert verdict(figures, 2, 0.0) == "pass"
    even = np.array([[0.50001, 0.49999], [0.2, 0.8]])
    figures = compare(even, even[:, ::-1], np.array([0, 1]), ("a", "b"))
    assert verdict(figures, 2, 0.0) != "pass"  # nearly the same scores, but another label


@given(st.integers(0, 5), st.integers(0, 5), st.integers(20, 300), st.sampled_from([0.5, 1.0, 3.0]))
def test_the_pictures_that_are_needed_are_enough_and_one_less_is_not(
    lost: int, won: int, pictures: int, tolerance: float
) -> None:
    def decided(total: int) -> bool:
        low, high = drop_interval(lost * total / pictures, won * total / pictures, total)
        return high <= tolerance or low > tolerance

    if lost + won > pictures or decided(pictures):
        return
    total = pictures + pictures_needed(lost, won, pictures, tolerance)
    if total < 10**7:
        assert decided(total)
        assert not decided(total - 1)


def test_figures_against_scikit_learn() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 4, 300)
    reference, scores = (random.dirichlet(np.ones(4), 300) + np.eye(4)[truth] * 0.4 for _ in range(2))
    found = compare(reference, scores, truth, ("a", "b", "c", "d"))
    predicted = scores.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert list(found["recall"].values()) == pytest.approx(recall_score(truth, predicted, average=None))
    assert found["confusion"] == confusion_matrix(truth, predicted).tolist()
    assert found["drop_points"] == pytest.approx(100 * (found["lost"] - found["won"]) / 300, abs=1e-4)


def test_calibration_error_by_hand() -> None:
    scores = np.array([[0.95, 0.05], [0.97, 0.03], [0.6, 0.4], [0.4, 0.6]])
    truth = np.array([0, 1, 0, 1])  # above 14/15 half are right of 0.96; at 0.6 (bin 9) both are right
    assert calibration_error(scores, truth) == pytest.approx(0.5 * 0.46 + 0.5 * 0.4)
