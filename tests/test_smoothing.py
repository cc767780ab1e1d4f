"""Smoothing and stable labels against arithmetic by hand."""

import numpy as np
import pytest

from edge.errors import UserError
from edge.smoothing import Stable, exponential, parse_smoothing, votes


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_mean_starts_from_the_first_frame() -> None:
    smooth = exponential(0.25)
    assert smooth(scores(0.8, 0.2)) == pytest.approx([0.8, 0.2])
    assert smooth(scores(0.0, 1.0)) == pytest.approx([0.6, 0.4])  # 0.8 - 0.8 / 4
    assert smooth(scores(0.0, 1.0)) == pytest.approx([0.45, 0.55])


def test_votes_want_so_many_of_the_last_frames() -> None:
    smooth = votes(3, 4)
    found = [smooth(frame).argmax() for frame in [scores(0.9, 0.1)] * 3 + [scores(0.2, 0.8)]]
    assert found == [0, 0, 0, 0]  # one frame against three changes nothing
    even = smooth(scores(0.2, 0.8))
    assert even.max() < 0.5  # two against two: unknown under any threshold above an even chance
    assert smooth(scores(0.2, 0.8)) == pytest.approx([0.2, 0.8])  # the mean of the winner's own frames


@pytest.mark.parametrize("text", ["", "0", "1.5", "-1", "x", "3/2", "0/4", "1/", "nan", "2/5000"])
def test_bad_smoothing_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match="--smooth"):
        parse_smoothing(text)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([0.9, 0.9, 0.9], ["cat"]),  # one event at the start, none while it stays
        ([0.9, 0.46, 0.9], ["cat"]),  # the other leads by less than the hysteresis: no change
        ([0.9, 0.10, 0.9], ["cat", "dog", "cat"]),  # by more: a change there and back
        ([0.9, 0.58, 0.9], ["cat"]),  # below the threshold by less than the hysteresis: no unknown
        ([0.55, 0.9], ["unknown", "cat"]),  # nothing stands yet: unknown, then the first label
        ([0.9, 0.45, 0.45], ["cat", "unknown"]),  # no label any more
    ],
)
def test_events_come_when_the_stable_label_changes(frames: list[float], expected: list[str]) -> None:
    stable = Stable(("cat", "dog"), threshold=0.6, hysteresis=0.1)
    if frames == [0.9, 0.46, 0.9]:
        stable.threshold = 0.5
    events = [event for frame in frames if (event := stable.update(scores(frame, 1 - frame)))]
    assert [event.label for event in events] == expected
    assert [event.previous for event in events] == ["", *expected[:-1]]


def test_a_score_that_just_reaches_counts() -> None:
    stable = Stable(("cat", "dog"), threshold=0.75, hysteresis=0.25)
    for cat, label in ((0.75, "cat"), (0.5, "cat"), (0.4375, "unknown"), (0.6875, "unknown")):
        stable.update(scores(cat, 0.1))
        assert stable.label == label


def test_what_stands_has_its_own_score() -> None:
    stable = Stable(("cat", "dog"), threshold=0.4, hysteresis=0.2)
    assert stable.score(scores(0.9, 0.1)) is None  # nothing stands yet
    for cat, dog, own in ((0.8, 0.2, 0.8), (0.47, 0.53, 0.47), (0.1, 0.9, 0.9), (0.15, 0.1, None)):
        stable.update(scores(cat, dog))
        assert stable.score(scores(cat, dog)) == (None if own is None else pytest.approx(own))


@pytest.mark.parametrize(
    ("unlike", "gives_up"),
    [
        ("0010", False),  # one in three is expected
        ("00101", True),  # two of the last three
        ("00110", True),  # at the second in a row
        ("001001", False),  # never two among three
        ("1", True),  # of one frame, one
        ("01", False),  # half is not most
    ],
)
def test_most_of_three_frames_unlike_give_a_label_up(unlike: str, gives_up: bool) -> None:
    stable = Stable(("cat", "dog"), threshold=0.6, hysteresis=0.1)
    events = [stable.update(scores(0.9, 0.1), each == "1") for each in unlike]
    assert gives_up == any(event and event.label == "unknown" for event in events)


@pytest.mark.parametrize("again", ["0", "00", "000"])
def test_a_label_comes_back_when_most_are_alike_again(again: str) -> None:
    stable = Stable(("cat", "dog"), threshold=0.6, hysteresis=0.1)
    for each in "11" + again:
        stable.update(scores(0.9, 0.1), each == "1")
    assert stable.label == ("unknown" if again == "0" else "cat")  # of three, two are unlike still


def test_a_class_may_be_named_unknown() -> None:
    """It becomes stable by its lead as any other, and holds against frames without an answer."""
    stable = Stable(("cat", "unknown"), threshold=0.2, hysteresis=0.1)
    events = [stable.update(scores(*frame)) for frame in ((0.9, 0.1), (0.25, 0.75), (0.5, 0.5), (0.9, 0.1))]
    assert [event and event.label for event in events] == ["cat", "unknown", None, "cat"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.25", [0.8, 0.65, 0.5375]),  # 0.8 - 0.6 / 4, then 0.65 - 0.45 / 4
        ("1", [0.8, 0.2, 0.2]),  # the newest frame alone
        ("1/1", [0.8, 0.2, 0.2]),
        ("2/3", [0.8, 0.4, 0.2]),  # one against one: halved for two labels; then two of three, their mean
    ],
)
def test_what_is_parsed_smooths(text: str, expected: list[float]) -> None:
    """The first label's score for frames of 0.8, 0.2 and 0.2."""
    smooth = parse_smoothing(text)
    assert smooth is not None
    assert [float(smooth(scores(each, 1 - each))[0]) for each in (0.8, 0.2, 0.2)] == pytest.approx(expected)


def test_no_smoothing_is_none() -> None:
    assert parse_smoothing("none") is None
    assert parse_smoothing("1000/1000") is not None
