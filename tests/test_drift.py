"""Drift: alarms for what is another world, none for this one, whatever frames have to do with each other."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import colour_picture
from hypothesis import given, settings
from hypothesis import strategies as st

import edge.drift
from convert.known import remember, usual_of
from edge import Classifier
from edge.drift import HOUR, SHARES, Watch
from edge.live import run
from edge.model.contract import BANK_FILE, ModelSpec, append_files, read_model
from edge.model.likeness import to_bytes
from edge.sinks.base import Moment, Sink
from edge.sinks.unsure import Uncertain
from edge.sources.base import Frame, Signal, Source
from edge.web.metrics import render
from train.dataset import Picture

STREAMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "blurred": lambda frame: cv2.GaussianBlur(frame, (0, 0), 6),
    "darkened": lambda frame: (frame * 0.08).astype(np.uint8),
    "shifted": lambda frame: cv2.warpAffine(frame, np.array([[1, 0, 60], [0, 1, 60.0]]), frame.shape[1::-1]),
}


def fresh(number: int) -> np.ndarray:
    """A photo that had no part in the training."""
    return colour_picture(("blue", "red")[number % 2], 5000 + number)


@pytest.fixture(scope="session")
def known(colour_run: Path, colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the colours with a bank, and the likeness that its photos have out of fold."""
    file = read_model(colour_run / "export" / "int8.tflite")
    assert file.spec is not None
    names = sorted((colours / "train").glob("*/*.png"))
    with Classifier(file) as classifier:
        found = [classifier.classify(cv2.imread(str(name))).features for name in names]
    rows = np.stack([each[-1280:] for each in found if each is not None])
    pictures = [Picture(name, int(name.parent.name == "red"), name.parent.name + name.stem) for name in names]
    made = remember(rows, pictures, rows[:0], np.ones(len(rows), bool), 0.01)
    spec = replace(file.spec, likeness=made.likeness, usual=made.usual)
    path = tmp_path_factory.mktemp("known") / "known.tflite"
    path.write_bytes(append_files(file.graph, spec, {BANK_FILE: to_bytes(made.bank)}))
    return path


@pytest.fixture(scope="session")
def likeness(known: Path) -> dict[str, np.ndarray]:
    """That of fresh photos, as they are and spoiled."""
    streams = {"normal": lambda frame: frame, **STREAMS}
    with Classifier(known) as classifier:
        return {
            name: np.array([classifier.classify(change(fresh(number))).likeness for number in range(60)])
            for name, change in streams.items()
        }


def scenes(values: np.ndarray, frames: int, length: float, seed: int) -> np.ndarray:
    """A stream of frames whose scenes last, `length` frames on average."""
    random = np.random.default_rng(seed)
    lengths = random.geometric(1 / length, int(3 * frames / length) + 10)
    return np.repeat(values[random.integers(len(values), size=len(lengths))], lengths)[:frames]


def hours_to(watch: Watch, values: np.ndarray, seconds: float) -> float:
    """Hours until an alarm; infinite without one."""
    for number, value in enumerate(values):
        if watch.update(float(value), number * seconds):
            return number * seconds / HOUR
    return float("inf")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("length", "seconds"), [(1, 1.0), (300, 1.0), (100, 20.0)])
def test_a_hundred_thousand_normal_frames_raise_no_alarm(
    known: Path, likeness: dict[str, np.ndarray], length: float, seconds: float, seed: int
) -> None:
    """One day of a scene a frame or one in five minutes, and three weeks of scenes that last half an hour."""
    spec = read_model(known).spec
    assert spec
    values = scenes(likeness["normal"], 100_000, length, seed)
    assert len(values) == 100_000
    assert hours_to(Watch(spec.usual), values, seconds) == float("inf")


@pytest.mark.parametrize("name", STREAMS)
def test_a_spoiled_stream_raises_an_alarm_within_a_day(known: Path, likeness: dict[str, np.ndarray], name: str) -> None:
    """After two normal days; and the alarm names the hour in which it began."""
    spec = read_model(known).spec
    assert spec
    watch, start = Watch(spec.usual), 48 * HOUR
    normal, spoiled = (scenes(likeness[key], 48 * 360, 30, 1) for key in ("normal", name))
    assert hours_to(watch, normal, 10) == float("inf")
    for number, value in enumerate(spoiled):
        if watch.update(float(value), start + 10 * number):
            break
    now = start + 10 * number
    assert now - start <= 12 * HOUR, "half a day"
    state = watch.state(now, now)
    assert state is not None
    assert state.since == pytest.approx(start, abs=2 * HOUR)
    for number, value in enumerate(normal):  # cleaned: it ends within two hours
        if watch.update(float(value), now + 10 * number):
            break
    assert 10 * number <= 2 * HOUR
    state = watch.state(now, now)
    assert state is not None
    assert state.since is None


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(20, 2000))
def test_a_frame_that_is_as_usual_wins_less_than_it_stakes(seed: int, count: int) -> None:
    """The odds of an hour, by many fresh numbers: what keeps false alarms away, whatever the numbers' distribution."""
    random = np.random.default_rng(seed)
    drawn = random.beta(*random.uniform(0.5, 9, 2), count + 4000)
    watch = Watch(usual_of(drawn[:count]))
    for value in drawn[count:]:
        watch.update(float(value), 0.0)
    assert watch._won / watch._frames < 1


def test_no_more_fall_short_than_is_said() -> None:
    """Of a thousand draws of pictures whose true shares are known, at least 95 % hold; and few are far too careful."""
    random = np.random.default_rng(0)
    limits = np.array([usual_of(random.random(400)) for _ in range(1000)])  # of even numbers the share is the limit
    for place, share in enumerate(SHARES):
        column = limits[:, place]
        assert 0.94 < (column <= share).mean() <= 1
        assert column.mean() > share / 4
    assert usual_of(random.random(298))[0] == -1 < usual_of(random.random(299))[0]  # 0.99 ** 299 < 0.05
    assert usual_of(np.empty(0)) == (-1.0,) * len(SHARES)  # nothing is known, and nothing raises an alarm
    assert hours_to(Watch(usual_of(np.empty(0))), np.full(50_000, -0.9), 10) == float("inf")


def test_a_contract_with_another_usual_is_refused() -> None:
    for usual in ((0.1, 0.2), (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)):
        with pytest.raises(ValueError, match="usual: expected 6 rising numbers"):
            ModelSpec(("a", "b"), (32, 32), usual=usual)


class Spoiled(Source):
    """Fresh photos, blurred from the start, for long enough that the sinks are ticked: once in 0.9 seconds."""

    live = True

    def __init__(self, seconds: float) -> None:
        super().__init__("spoiled")
        self.frames = [STREAMS["blurred"](fresh(number)) for number in range(8)]
        self.seconds = seconds

    def __iter__(self) -> Iterator[Frame | None]:
        end = time.monotonic() + self.seconds
        for number in takewhile(lambda _: time.monotonic() < end, count()):
            yield Frame(self.frames[number % 8], number, self.name, time.monotonic())


class Told(Sink):
    def __init__(self) -> None:
        self.signals: list[Signal] = []

    def tick(self, signal: Signal) -> None:
        self.signals.append(signal)

    def write(self, moment: Moment) -> None:
        pass


def test_a_run_says_so_once_and_keeps_the_pictures(
    known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hours of a twentieth of a second."""
    monkeypatch.setattr(edge.drift, "HOUR", 0.05)
    told, kept = Told(), Uncertain(tmp_path / "kept", every=0.1)
    with Classifier(known, threshold=0) as classifier:  # each frame gets an answer: none is kept for its score
        run(classifier, Spoiled(2.5), [told, kept])
    lines = [line for line in capsys.readouterr().err.splitlines() if "something else" in line]
    assert len(lines) == 1
    assert re.search(r"since \d\d \w+ \d\d:\d\d: likeness 0\.\d\d, training photos 0\.\d\d", lines[0])
    last = told.signals[-1]
    assert last.drift is not None
    assert last.drift.since is not None
    text = render(1, None, {}, None, None, last)
    assert "frostlite_drift 1.0" in text
    assert f"frostlite_likeness_hour {last.drift.likeness}" in text
    assert list((tmp_path / "kept").glob("*/*-unsure.jpg"))


def test_a_model_without_a_bank_says_nothing(tiny_model: Path) -> None:
    told = Told()
    with Classifier(tiny_model) as classifier:
        run(classifier, Spoiled(2), [told])
    assert told.signals
    assert all(signal.drift is None for signal in told.signals)
