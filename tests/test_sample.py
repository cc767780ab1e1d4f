"""The drawn data set: the same for a seed, whole or not there, and neither trivial nor a trick of the background."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from edge.cli import run_command
from edge.errors import UserError
from train.sample import LABELS, SPLITS, STAMP, VERSION, draw, write_sample
from train.sample import folder as sample_folder
from train.sample.__main__ import main


def _inputs(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """8 x 8 colour thumbnails, (2 * count, 192) in 0..1, and their labels."""
    pictures = [draw(label, split, index, size=96) for label in LABELS for index in range(count)]
    small = [cv2.resize(picture, (8, 8), interpolation=cv2.INTER_AREA).ravel() / 255 for picture in pictures]
    return np.array(small), np.repeat([0, 1], count)


def _border(picture: np.ndarray, width: int = 5) -> np.ndarray:
    """The strip along the upper edge and the upper halves of both sides, (n, 3): no shadow falls there."""
    half = len(picture) // 2
    parts = picture[:width], picture[:half, :width], picture[:half, -width:]
    return np.concatenate([part.reshape(-1, 3) for part in parts]).astype(float)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("split", SPLITS)
def test_a_picture_depends_on_its_arguments_alone(label: str, split: str) -> None:
    first, other = draw(label, split, 3), draw(label, split, 4)
    assert first.shape == (300, 300, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(draw(label, split, 3), first)
    assert (other != first).any()
    assert (draw(label, split, 3, seed=1) != first).any()


@pytest.mark.parametrize("size", [65, 96])
def test_any_size(size: int) -> None:
    for label in LABELS:
        assert draw(label, "train", 0, size=size).shape == (size, size, 3)


@pytest.mark.parametrize(("label", "split"), [("cats", "train"), ("horses", "test")])
def test_an_unknown_name_is_refused(label: str, split: str) -> None:
    with pytest.raises(UserError, match=r"cats|test"):
        draw(label, split, 0)


def test_there_is_a_figure_in_every_picture() -> None:
    for label in LABELS:
        for index in range(12):
            picture = draw(label, "validation", index, size=128).astype(float)
            wall = np.median(_border(picture), axis=0)
            assert (np.abs(picture - wall).max(axis=2) > 40).mean() > 0.01, f"{label} {index}"


def test_validation_has_a_plain_light_wall_and_training_has_scenery() -> None:
    plain = [_border(draw(label, "validation", index, size=128)) for label in LABELS for index in range(8)]
    assert all(np.median(border) > 190 for border in plain)
    # A close-up may touch the border: what is wall there is of one colour
    assert all(np.percentile(np.abs(border - np.median(border, axis=0)), 60) < 10 for border in plain)
    scenery = [_border(draw(label, "train", index, size=128)) for label in LABELS for index in range(8)]
    spread = [np.percentile(np.abs(border - np.median(border, axis=0)), 60) for border in scenery]
    assert np.median(spread) > 12
    assert np.mean([np.median(border) for border in scenery]) < 180


def test_layout_counts_stamp_and_the_same_bytes_again(tmp_path: Path) -> None:
    folder = write_sample(tmp_path / "a", train=3, validation=2, seed=5)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))
    assert names == sorted(
        f"{split}/{label}/{label[:-1]}-{index:04d}.jpg"
        for split, count in (("train", 3), ("validation", 2))
        for label in LABELS
        for index in range(count)
    )
    stamp = json.loads((folder / STAMP).read_text())
    assert stamp == {"version": VERSION, "train": 3, "validation": 2, "seed": 5}

    again = write_sample(tmp_path / "b", train=4, validation=2, seed=5)
    for name in names:
        assert (folder / name).read_bytes() == (again / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_whole_folder_is_taken_as_it_is_and_any_other_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    _stand_in(folder, 2, 1)
    monkeypatch.setattr(sample_folder, "ProcessPoolExecutor", _BrokenPool)
    assert write_sample(folder, 2, 1) == folder
    for other in ({"train": 3}, {"validation": 2}, {"seed": 1}):  # made anew, which fails here
        with pytest.raises(InterruptedError):
            write_sample(folder, **{"train": 2, "validation": 1, "seed": 0, **other})
        assert write_sample(folder, 2, 1) == folder, "the earlier one is still there"
    next((folder / "train/horses").iterdir()).unlink()
    with pytest.raises(InterruptedError):
        write_sample(folder, 2, 1)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_folder, "ProcessPoolExecutor", _BrokenPool)
    with pytest.raises(InterruptedError):
        write_sample(tmp_path / "set", 2, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="not replaced"):
        write_sample(tmp_path, 1, 1)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize("bad", [{"train": 0}, {"validation": 0}, {"seed": -1}])
def test_bad_numbers_are_refused(tmp_path: Path, bad: dict[str, int]) -> None:
    with pytest.raises(UserError, match="expected 1 or more"):
        write_sample(tmp_path / "set", **bad)
    assert not (tmp_path / "set").exists()


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "set"
    main([str(folder), "--train", "2", "--validation", "1"])
    sheet = Path(capsys.readouterr().out.strip())
    assert sheet == folder / "contact-sheet.png"
    assert cv2.imread(str(sheet)) is not None
    with pytest.raises(SystemExit) as stop:
        run_command(lambda: main([str(folder), "--train", "0"]))
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.slow
def test_colours_and_rough_shape_are_not_enough() -> None:
    inputs, labels = _inputs("train", 60)
    others, truth = _inputs("validation", 30)
    for linear in (
        LogisticRegression(max_iter=3000),
        LogisticRegression(C=0.01),
        LinearSVC(dual=False),
        RidgeClassifier(),
    ):
        for model in (linear, make_pipeline(StandardScaler(), linear)):
            assert model.fit(inputs, labels).score(others, truth) < 0.85, model


def _stand_in(folder: Path, train: int, validation: int) -> None:
    """What a sample looks like to `write_sample`, without the drawing."""
    for split, count in (("train", train), ("validation", validation)):
        for label in LABELS:
            (folder / split / label).mkdir(parents=True)
            for index in range(count):
                (folder / split / label / f"{label[:-1]}-{index:04d}.jpg").touch()
    stamp = {"version": VERSION, "train": train, "validation": validation, "seed": 0}
    (folder / STAMP).write_text(json.dumps(stamp))


class _BrokenPool:
    """A process pool that draws nothing and is interrupted."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> "_BrokenPool":
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, _: object, jobs: list[tuple[Path, ...]], chunksize: int) -> object:
        jobs[0][0].write_bytes(b"half a pict")
        raise InterruptedError
