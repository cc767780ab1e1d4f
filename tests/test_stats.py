"""The figures of the proof, against scipy, against simulation, and by hand."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

from convert.paired import interval, p_below, ruled_out, simulated
from convert.stats import (
    ALPHA,
    calibration_error,
    compare,
    holm,
    judge,
    labels_lost,
    mcnemar,
    pictures_needed,
    simulations,
)

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
    """It holds what neither test rules out; that it does so is the test below this one."""
    a, b, _ = np.random.default_rng(0).multinomial(pictures, [lost, won, 1 - lost - won], 20_000).T
    drop = lost - won
    held = ~ruled_out(a, b, pictures, drop, 0.05) & ~ruled_out(b, a, pictures, -drop, 0.05)
    assert held.mean() >= 0.895  # 90 % is meant; more where hardly anything changes


@pytest.mark.parametrize(("lost", "won", "pictures"), [(0, 0, 60), (3, 1, 300), (1, 9, 256), (60, 0, 60)])
def test_the_ends_of_the_interval_are_where_the_tests_turn(lost: int, won: int, pictures: int) -> None:
    low, high = interval(lost, won, pictures, 0.05)
    assert low <= (lost - won) / pictures <= high
    if high < 1:
        assert p_below(lost, won, pictures, high - 1e-3) > 0.05 >= p_below(lost, won, pictures, high + 1e-4)
    if low > -1:
        assert p_below(won, lost, pictures, -low - 1e-3) > 0.05 >= p_below(won, lost, pictures, 1e-4 - low)


# At most one in twenty may pass whose true drop is the tolerance. The score is tested against the exact sum of the
# trinomial distribution, so drawn outcomes are something else to hold it against; 0.003 is twice their error.
@pytest.mark.parametrize("pictures", [60, 120, 256, 290, 298, 299, 600, 1283, 5000])  # 268 to 298: 6.8 % by Tango alone
@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.0])
def test_false_passes_stay_below_five_percent(pictures: int, tolerance: float) -> None:
    for won in (0.0, 0.0005, 0.002, 0.01, 0.05):
        assert simulated(pictures, tolerance / 100, won, ALPHA) <= ALPHA + 0.003, won


def test_the_test_is_not_needlessly_strict() -> None:
    found = [simulated(pictures, 0.01, 0.01, ALPHA) for pictures in (256, 600, 1283, 5000)]
    assert np.mean(found) >= 0.04


@pytest.mark.parametrize("schemes", [3, 10])
@pytest.mark.parametrize("pictures", [300, 1000, 5000])
def test_false_passes_of_several_schemes_stay_below_five_percent_together(pictures: int, schemes: int) -> None:
    for won in (0.0, 0.002, 0.02):
        assert simulated(pictures, 0.01, won, ALPHA, schemes, 5000) <= ALPHA + 0.006


@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from([60, 299, 505]))
@settings(deadline=None)
def test_one_outcome_and_many_are_judged_alike(lost: int, won: int, pictures: int) -> None:
    p = p_below(lost, won, pictures, 0.01)
    if abs(p - ALPHA) > 0.001:
        assert bool(ruled_out(np.array(lost), np.array(won), pictures, 0.01, ALPHA)) == (p <= ALPHA)


@pytest.mark.parametrize("pictures", [60, 298, 299, 5000])
def test_no_change_at_all_by_hand(pictures: int) -> None:
    """Without won pictures the lost ones are binomial, and that rate is the worst."""
    assert p_below(0, 0, pictures, 0.01) == pytest.approx(0.99**pictures, rel=1e-6) or pictures > 1000
    assert (p_below(0, 0, pictures, 0.01) <= ALPHA) == (pictures >= 299)


def row(lost: int, won: int, pictures: int, agreement: float = 0.9) -> dict:
    return {"lost": lost, "won": won, "pictures": pictures, "agreement": agreement, "score_change": {"largest": 0.5}}


@pytest.mark.parametrize(
    ("lost", "won", "pictures", "tolerance", "expected"),
    [
        (0, 0, 299, 1.0, "pass"),  # 0.99^299 is 4.95 %
        (0, 0, 298, 1.0, "undecided"),  # 0.99^298 is 5.004 %
        (0, 0, 24, 1.0, "undecided"),  # no change, but hardly any pictures
        (1, 0, 256, 1.0, "undecided"),  # one: 0.39 measured, up to 1.8
        (1, 0, 2560, 1.0, "pass"),  # the same one in ten times as many
        (20, 2, 256, 1.0, "fail"),  # 7 points
        (12, 12, 256, 5.0, "pass"),  # changes that even out
        (8, 0, 256, 1.0, "fail"),  # 3.1 measured, at least 1.5
        (4, 0, 256, 1.0, "undecided"),  # 1.6 measured, but 0.3 is possible
        (0, 9, 256, 0.0, "pass"),  # better than before: no loss
        (5, 5, 50, 100.0, "pass"),  # nothing is asked for
    ],
)
def test_the_verdict(lost: int, won: int, pictures: int, tolerance: float, expected: str) -> None:
    (found,) = judge([row(lost, won, pictures)], tolerance)
    assert found.partition(":")[0] == expected
    if expected == "undecided":
        assert int(found.split()[1]) == pictures_needed(lost, won, pictures, tolerance) > 0
        assert found.endswith(" more pictures needed")


def test_several_schemes_are_judged_together() -> None:
    quiet, loud = row(0, 0, 300), row(20, 0, 300)
    assert judge([quiet], 1.0) == ["pass"]
    first, second = judge([quiet, loud], 1.0)
    assert first.startswith("undecided: ")  # 0.99^300 is below 5 %, but not below 2.5 %
    assert second == "fail"
    assert judge([row(0, 0, 400), row(20, 0, 400)], 1.0) == ["pass", "fail"]
    same = {**row(0, 0, 300, 1.0), "score_change": {"largest": 0.0}}
    assert judge([quiet, same], 1.0) == ["pass", "pass"]
    assert judge([quiet], 1.0, together=2) == judge([quiet, loud], 1.0)[:1]  # of two, whatever the other one gives


def test_holm_against_its_definition() -> None:
    # Holm's own way: the smallest against a third, the next against a half, and so on, until one stands.
    assert holm([0.04, 0.01, 0.03], 0.05) == [False, True, False]
    assert holm([0.05, 0.01, 0.02], 0.05) == [True, True, True]
    assert holm([], 0.05) == []


def test_the_same_scores_pass_however_few_the_pictures() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    figures = compare(scores, scores + 1e-6, np.array([0, 1]), ("a", "b"))
    assert judge([figures], 0.0) == ["pass"]
    even = np.array([[0.50001, 0.49999], [0.2, 0.8]])
    figures = compare(even, even[:, ::-1], np.array([0, 1]), ("a", "b"))
    assert judge([figures], 0.0) != ["pass"]  # nearly the same scores, but another label


@pytest.mark.parametrize(
    ("lost", "won", "pictures"),
    [(0, 0, 120), (1, 0, 256), (2, 2, 256), (13, 12, 505), (8, 0, 300)],
)
def test_the_pictures_that_are_needed_decide_four_times_in_five(lost: int, won: int, pictures: int) -> None:
    needed = pictures_needed(lost, won, pictures, 1.0)
    assert needed is not None
    total = pictures + needed

    def decided(count: int) -> float:
        rates = [lost / pictures, won / pictures, 1 - (lost + won) / pictures]
        draws = np.random.default_rng(1).multinomial(count, rates, 4000)
        below = ruled_out(draws[:, 0], draws[:, 1], count, 0.01, ALPHA)
        above = ruled_out(draws[:, 1], draws[:, 0], count, -0.01, ALPHA)
        return float((below | above).mean())

    assert decided(total) >= 0.78
    assert needed < 20 or decided(pictures + int(0.8 * needed)) < 0.85  # and no more than needed


@pytest.mark.parametrize(("lost", "won", "pictures"), [(9, 5, 411), (5, 0, 500), (1000, 900, 10_000)])
def test_a_drop_at_the_tolerance_is_told_as_that(lost: int, won: int, pictures: int) -> None:
    (found,) = judge([row(lost, won, pictures)], 1.0)
    said = re.fullmatch(r"undecided: the measured drop of ([\d.]+) points lies so near .* --tolerance [\d.]+", found)
    assert said
    assert float(said[1]) == pytest.approx(100 * (lost - won) / pictures, abs=0.005)
    higher = float(found.split()[-1])
    assert judge([row(lost, won, pictures)], higher) == ["pass"]


@pytest.mark.parametrize(("lost", "won", "pictures"), [(25, 25, 100), (60, 49, 520)])
def test_a_drop_that_many_changes_blur_is_told_as_that(lost: int, won: int, pictures: int) -> None:
    """None, or twice the tolerance: neither is near it."""
    (found,) = judge([row(lost, won, pictures)], 1.0)
    assert f"comes of so many changes ({lost} of {pictures} pictures lost, {won} won)" in found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"a": (8, 0), "b": (0, 0)}, ["a"]),  # 1/256, twice
        ({"a": (5, 0), **{f"b{number}": (0, 0) for number in range(9)}}, []),  # 1/32, but ten labels
        ({"a": (20, 18), "b": (18, 20)}, []),  # much changes, nothing is lost
        ({"a": (12, 0), "b": (9, 0), "c": (0, 21)}, ["a", "b"]),  # the sum is even, two labels are not
    ],
)
def test_labels_that_lost_more_than_chance(changes: dict, expected: list[str]) -> None:
    assert labels_lost(changes) == expected


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
    ends = interval(found["lost"], found["won"], 300, ALPHA)
    assert found["drop_interval_points"] == pytest.approx([100 * end for end in ends], abs=1e-3)


@given(st.data(), st.integers(2, 4), st.integers(1, 40))
def test_what_was_lost_and_won_is_counted_one_by_one(data: st.DataObject, labels: int, pictures: int) -> None:
    before, after, truth = (
        data.draw(st.lists(st.integers(0, labels - 1), min_size=pictures, max_size=pictures)) for _ in range(3)
    )
    pairs = list(zip(before, after, truth, strict=True))
    found = compare(np.eye(labels)[before], np.eye(labels)[after], np.array(truth), tuple("abcd"[:labels]))
    assert found["lost"] == sum(one == right != other for one, other, right in pairs)
    assert found["won"] == sum(other == right != one for one, other, right in pairs)
    assert found["agreement"] == pytest.approx(sum(one == other for one, other, _ in pairs) / pictures)
    changed = [2 / labels if one != other else 0 for one, other, _ in pairs]
    assert found["score_change"]["mean"] == pytest.approx(sum(changed) / pictures)


def test_calibration_error_by_hand() -> None:
    scores = np.array([[0.95, 0.05], [0.97, 0.03], [0.6, 0.4], [0.4, 0.6]])
    truth = np.array([0, 1, 0, 1])  # above 14/15 half are right of 0.96; at 0.6 (bin 9) both are right
    assert calibration_error(scores, truth) == pytest.approx(0.5 * 0.46 + 0.5 * 0.4)
    edges = np.array([[0.61, 0.39], [0.66, 0.34], [0.39, 0.61]])  # of fifteen bins one, of fourteen or sixteen two
    assert calibration_error(edges, np.array([0, 1, 1])) == pytest.approx(abs((0.61 + 0.66 + 0.61) / 3 - 2 / 3))


def test_the_fine_print_of_the_report_holds_what_it_says() -> None:
    found = simulations(400, 1.0)
    assert [count for count, _ in found["rows"]] == [60, 300, 400, 1000, 5000]
    assert found["draws"] >= 10_000
    for count, shares in found["rows"]:
        for won, share in zip(found["won"], shares, strict=True):
            assert share == simulated(count, 0.01, won, ALPHA, draws=found["draws"]) <= ALPHA + 0.006
