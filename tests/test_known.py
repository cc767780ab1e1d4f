"""The likeness that a file asks for, against pictures whose likeness is known."""

from pathlib import Path

import numpy as np
import pytest

from convert.known import remember
from edge.model.likeness import Bank
from train.dataset import Picture


def clouds(seed: int, count: int, labels: int = 3, width: int = 32) -> tuple[np.ndarray, list[Picture]]:
    """Features around one direction a label, and pictures without a file."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) % labels
    centres = 4 * np.random.default_rng(0).random((labels, width))
    rows = (centres[truth] + 3 * random.random((count, width))).astype(np.float32)
    return rows, [Picture(Path(f"{i}.jpg"), int(label), f"{seed}-{i}") for i, label in enumerate(truth)]


def test_as_many_fresh_pictures_fall_short_as_was_asked_for() -> None:
    """Of pictures that had no part in it, and by the very code of the device."""
    rows, pictures = clouds(1, 900)
    known = remember(rows, pictures, rows[:0], np.ones(900, bool), 0.05)
    fresh, _ = clouds(2, 4000)
    refused = (Bank(known.bank).likeness(fresh) < known.likeness).mean()
    assert 0.02 < refused < 0.09
    assert 0.02 < known.refused / known.right < 0.07
    assert len(known.bank) <= 200


def test_others_are_refused() -> None:
    rows, pictures = clouds(1, 300)
    known = remember(rows, pictures, rows[:0], np.ones(300, bool), 0.01)
    others = np.random.default_rng(3).random((500, 32)).astype(np.float32)
    assert (Bank(known.bank).likeness(others) >= known.likeness).mean() < 0.05


def test_pictures_of_another_day_are_not_refused_for_it() -> None:
    """Held out from the start, and further away: the threshold gives way to them."""
    rows, pictures = clouds(1, 300)
    other_day = clouds(4, 100)[0] + 6 * np.random.default_rng(5).random(32).astype(np.float32)
    strict = remember(rows, pictures, rows[:0], np.ones(300, bool), 0.01)
    kind = remember(rows, pictures, other_day, np.ones(400, bool), 0.01)
    assert (Bank(strict.bank).likeness(other_day) < strict.likeness).mean() > 0.1
    assert (Bank(kind.bank).likeness(other_day) < kind.likeness).mean() <= 0.02


def test_one_stray_picture_among_those_held_out_lowers_nothing() -> None:
    """One in 60 of another world is what chance brings; the smallest of 60 as the limit would let all the world in."""
    rows, pictures = clouds(1, 900)
    few = clouds(4, 60)[0]
    few[0] = -few[0]
    strict = remember(rows, pictures, rows[:0], np.ones(900, bool), 0.01)
    stray = remember(rows, pictures, few, np.ones(960, bool), 0.01)
    assert abs(stray.likeness - strict.likeness) < 0.01


def test_a_burst_does_not_vouch_for_itself() -> None:
    """Every picture ten times over: without groups the likeness would be 1, and no fresh picture would reach it."""
    rows, pictures = clouds(1, 60)
    many = np.repeat(rows, 10, axis=0)
    burst = [Picture(p.path, p.label, f"{p.digest}-{i}", group=p.digest) for p in pictures for i in range(10)]
    known = remember(many, burst, rows[:0], np.ones(600, bool), 0.01)
    assert known.likeness < 0.999
    assert (Bank(known.bank).likeness(clouds(2, 1000)[0]) < known.likeness).mean() < 0.1


def test_wrong_answers_have_no_say() -> None:
    rows, pictures = clouds(1, 300)
    rows[:30] = np.random.default_rng(3).random((30, 32))
    right = np.ones(300, bool)
    all_in = remember(rows, pictures, rows[:0], right, 0.01).likeness
    right[:30] = False
    assert remember(rows, pictures, rows[:0], right, 0.01).likeness > all_in


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_features_that_are_all_zero_have_no_likeness(share: float) -> None:
    """As a ReLU at the end of a backbone leaves them: such a picture is in no bank, and is like nothing."""
    rows, pictures = clouds(1, 300)
    rows[: int(share * 300)] = 0
    known = remember(rows, pictures, rows[:0], np.ones(300, bool), 0.01)
    assert known.bank.any(axis=1).all()
    assert len(known.bank) == (0 if share == 1 else 200)
    assert Bank(known.bank).likeness(np.zeros((1, 32), np.float32)) <= 0


@pytest.mark.parametrize("size", [2.0**-80, 2.0**60])
def test_the_size_of_features_does_not_matter(size: float) -> None:
    """Of a backbone without good weights they may be tiny: their squares are zero in float32."""
    rows, pictures = clouds(1, 300)
    usual, other = (remember(each, pictures, rows[:0], np.ones(300, bool), 0.01) for each in (rows, rows * size))
    assert np.array_equal(usual.chosen, other.chosen)
    assert other.likeness == pytest.approx(usual.likeness, abs=1e-3)


def test_too_few_pictures_ask_for_no_likeness() -> None:
    rows, pictures = clouds(1, 3)
    assert remember(rows, pictures, rows[:0], np.zeros(3, bool), 0.01).likeness == -1
