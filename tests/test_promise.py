"""Promises about the answers: kept in simulated worlds whose truth is known, and counted against scipy and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import run_here
from scipy.stats import binom, binomtest

from train.promise import Promise, at_most, promise

WORLDS = 400


def world(dice: np.random.Generator, pictures: int, hard: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores (pictures, 2) and labels; an answer of score s is right with a probability that rises with s."""
    best = dice.uniform(0.5, 1, pictures)
    right = dice.random(pictures) < chance(best, hard)
    return np.column_stack([best, 1 - best]), np.where(right, 0, 1)


def chance(score: np.ndarray | float, hard: float) -> np.ndarray | float:
    return 1 - hard * 2 * (1 - score)


def truly_wrong(threshold: float, hard: float) -> float:
    """Of all answers that this world would ever give above a threshold: the mean of a straight line."""
    return hard * (1 - threshold)


@pytest.mark.parametrize(
    ("pictures", "hard", "asked"),
    [
        (300, 0.3, 0.12),
        (2000, 0.3, 0.08),
        (2000, 0.1, 0.05),  # almost all may be answered: the bound is near the edge
        (1000, 1.0, 0.25),
    ],
)
def test_a_promise_is_broken_in_one_world_of_twenty_at_most(pictures: int, hard: float, asked: float) -> None:
    dice = np.random.default_rng(0)
    broken = held = 0
    for _ in range(WORLDS):
        found = promise(*world(dice, pictures, hard), asked)
        if found.threshold is not None:
            held += 1
            broken += truly_wrong(found.threshold, hard) > asked
    assert held > WORLDS / 4  # else nothing was asked of it
    assert broken <= binom.ppf(0.999, WORLDS, 0.05)


def test_the_bound_is_that_of_the_exact_binomial_test() -> None:
    for wrong, of in [(0, 1), (0, 59), (1, 100), (7, 300), (40, 41), (5, 5)]:
        interval = binomtest(wrong, of).proportion_ci(confidence_level=0.9, method="exact")  # 5 % on either side
        assert at_most(wrong, of) == pytest.approx(interval.high)
    # Without a mistake in n answers the share that gives so with 5 % is 1 - 0.05 ** (1 / n): 59 answers for 5 %.
    assert at_most(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert at_most(0, 59) < 0.05 < at_most(0, 58)
    assert at_most(0, 59, 10) == pytest.approx(1 - 0.005 ** (1 / 59))  # a tenth of the 5 % for each of ten tries


def test_what_is_counted_is_what_the_threshold_gives() -> None:
    scores, truth = world(np.random.default_rng(1), 2000, 0.3)
    found = promise(scores, truth, 0.05)
    assert found.threshold is not None
    given = scores.max(axis=1) >= found.threshold
    assert found.answered == given.sum()
    assert found.wrong == (scores.argmax(axis=1) != truth)[given].sum()
    assert found.pictures == 2000
    assert found.wrong / found.answered < found.bound <= 0.05


def test_equal_scores_stand_or_fall_together() -> None:
    scores = np.tile([0.9, 0.1], (500, 1))
    truth = np.zeros(500, int)
    found = promise(scores, truth, 0.05)
    assert (found.threshold, found.answered) == (0.9, 500)
    truth[:100] = 1
    assert promise(scores, truth, 0.05).threshold is None


@pytest.mark.parametrize(
    ("pictures", "wrong", "asked"), [(400, 60, 0.05), (1000, 300, 0.1), (97, 20, 0.2), (64, 1, 0.1)]
)
def test_as_many_as_can_be_are_answered(pictures: int, wrong: int, asked: float) -> None:
    """Against all thresholds, tried one by one. Few pictures keep it almost all, or not at all (64 of them)."""
    best = np.linspace(0.99, 0.51, pictures).round(6)  # as many digits as a threshold has
    truth = np.zeros(pictures, int)
    truth[-wrong:] = 1

    def most(tries: int) -> int:
        errors = [max(0, count - pictures + wrong) for count in range(pictures + 1)]
        return max(count for count in range(1, pictures + 1) if at_most(errors[count], count, tries) <= asked)

    found = promise(np.column_stack([best, 1 - best]), truth, asked)
    # Each step of a search by halves is paid for: at most so many, and at least one.
    assert most(int(np.ceil(np.log2(pictures)))) <= found.answered <= most(1)
    assert f"to {100 * found.answered / pictures:.0f} % of such pictures" in str(found)


@pytest.mark.parametrize(
    ("pictures", "wrong", "told"),
    [
        (40, 0, "more pictures like these"),  # right at all times, and too few to say so
        (400, 399, "even the answers with the highest scores are wrong more often"),
    ],
)
def test_what_cannot_be_promised_is_said(pictures: int, wrong: int, told: str) -> None:
    best = np.linspace(0.99, 0.6, pictures)
    truth = np.zeros(pictures, int)
    truth[:wrong] = 1
    found = promise(np.column_stack([best, 1 - best]), truth, 0.02)
    assert found.threshold is None
    assert (found.answered, found.wrong, found.pictures) == (0, 0, pictures)
    assert told in str(found)
    assert "no promise" in str(found)


def test_so_many_more_pictures_are_enough() -> None:
    def at(pictures: int) -> Promise:
        best = np.linspace(0.99, 0.6, pictures)
        return promise(np.column_stack([best, 1 - best]), np.zeros(pictures, int), 0.02)

    found = at(40)
    assert found.more is not None
    assert at(40 + round(1.1 * found.more)).threshold is not None
    assert at(40 + round(0.7 * found.more)).threshold is None


def test_a_run_keeps_its_promise_on_both_sides(colours: Path, tmp_path: Path) -> None:
    """The colours are easy and few: at most a fifth wrong can be promised of 84, one in a hundred cannot."""
    run = tmp_path / "run"
    arguments = ["--data", colours, "--backbone", "mobilenet-v2", "--weights", "none", "--width", 0.35, "--size", 64]
    done = run_here("train", *arguments, "--out", run, "--promise", 0.2)
    assert done.returncode == 0, done.stderr
    told = json.loads((run / "metrics.json").read_text())["calibration"]
    assert told["promise"]["asked"] == 0.2
    assert told["promise"]["threshold"] == told["threshold"]
    assert "at most 20 % of the answers wrong, with 95 % confidence" in done.stdout
    assert "at most 20 % of the answers wrong" in (run / "report.html").read_text()
    done = run_here("convert", run, "--scheme", "int8")
    assert "int8: promise: at most 20 %" in done.stdout, done.stderr
    done = run_here("train", *arguments, "--out", tmp_path / "strict", "--promise", 0.01)
    assert done.returncode == 0, done.stderr
    assert "no promise: at most 1 %" in done.stderr


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--promise", 0.7], "0.5"),
        (["--promise", 0.05, "--refuse", 0.02], "one of them"),
        (["--promise", 0.05, "--dense", 8], "solved"),
        (["--promise", 0.05, "--unfreeze", 3], "solved"),
    ],
)
def test_what_cannot_go_together_is_refused(colours: Path, tmp_path: Path, more: list[object], told: str) -> None:
    done = run_here("train", "--data", colours, "--out", tmp_path / "run", *more)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "run").exists()
