"""A folder of photos to two splits."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import UserError
from edge.model.contract import ModelSpec
from train.dataset import Picture, _split, load_dataset
from train.rundir import read_run, write_json, write_run


def paint(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))


def fill(root: Path, classes: dict[str, int], start: int = 0) -> Path:
    for number, (label, count) in enumerate(classes.items()):
        (root / label).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            paint(root / label / f"{index:03}.png", start + 1000 * number + index)
    return root


def test_two_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"b": 4, "a": 3})
    fill(tmp_path / "validation", {"b": 2, "a": 2}, start=500)
    data = load_dataset(tmp_path)
    assert data.labels == ("a", "b")
    assert [picture.label for picture in data.train] == [0] * 3 + [1] * 4
    assert all("validation" in picture.path.parts for picture in data.validation)
    assert not data.leaked


def test_one_level_is_split_by_class_and_seed(tmp_path: Path) -> None:
    fill(tmp_path, {"cat": 20, "dog": 40})
    first, again, other = (load_dataset(tmp_path, seed=seed) for seed in (1, 1, 2))
    assert [p.path for p in first.validation] == [p.path for p in again.validation]
    assert {p.path for p in first.validation} != {p.path for p in other.validation}
    assert [sum(p.label == label for p in first.validation) for label in (0, 1)] == [4, 8]
    assert not {p.path for p in first.train} & {p.path for p in first.validation}
    assert len(first.train) + len(first.validation) == 60


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=6, max_size=80),
    st.floats(0.05, 0.5),
    st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_copies_never_stand_on_both_sides(entries: list[tuple[int, int]], share: float, seed: int) -> None:
    pictures = [Picture(Path(str(i)), label, f"{label}-{content}") for i, (label, content) in enumerate(entries)]
    train, validation = _split(pictures, share, seed)
    assert sorted(p.path for p in train + validation) == sorted(p.path for p in pictures)
    assert not {p.digest for p in train} & {p.digest for p in validation}


def test_what_cannot_be_read_is_named_and_skipped(tmp_path: Path) -> None:
    fill(tmp_path, {"cat": 8, "dog": 8})
    (tmp_path / "cat" / "text.jpg").write_text("not a picture")
    whole = (tmp_path / "dog" / "000.png").read_bytes()
    (tmp_path / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "notes.txt").write_text("no picture, and none is expected")
    (tmp_path / "dog" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    data = load_dataset(tmp_path)
    assert {path.name for path in data.skipped} == {"text.jpg", "cut.png", "phone.HEIC"}
    assert len(data.train) + len(data.validation) == 16


def test_names_that_are_no_utf8_come_back_from_the_run(tmp_path: Path) -> None:
    fill(tmp_path / "photos", {"cat": 4, "dog": 4})
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "photos" / "cat") + b"/caf\xe9.png"))
    (tmp_path / "photos" / "cat" / "000.png").rename(odd)
    data = load_dataset(tmp_path / "photos")
    write_run(tmp_path / "run", ModelSpec(data.labels, (32, 32)), data)
    with pytest.raises(UserError, match=r"no model.keras, metrics.json"):
        read_run(tmp_path / "run")  # only half of it is there
    (tmp_path / "run" / "model.keras").touch()
    write_json(tmp_path / "run" / "metrics.json", {})
    run = read_run(tmp_path / "run")
    assert (run.train, run.validation) == (data.train, data.validation)
    assert odd in [picture.path for picture in run.train + run.validation]
    write_run(tmp_path / "run", ModelSpec(data.labels, (64, 64)), data)
    with pytest.raises(UserError, match=r"no metrics.json"):
        read_run(tmp_path / "run")  # a new contract beside the old model


def test_byte_identical_pictures_in_both_splits_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": 3, "b": 3})
    fill(tmp_path / "validation", {"a": 2, "b": 2}, start=500)
    (tmp_path / "validation" / "a" / "copy.png").write_bytes((tmp_path / "train" / "a" / "001.png").read_bytes())
    leaked = load_dataset(tmp_path).leaked
    assert [(train.name, validation.name) for train, validation in leaked] == [("001.png", "copy.png")]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "expected a folder of photos, found nothing"),  # missing
        (lambda root: root.write_text(""), "expected a folder of photos, found a file"),  # a file
        (lambda root: root.mkdir(), "at least two class folders.*none"),  # empty
        (lambda root: fill(root, {"only": 9}), "at least two class folders.*'only'"),  # one class
        (lambda root: fill(root, {"a": 9, "b": 0}), "class 'b': expected at least 2 training pictures, found 0"),
        (
            lambda root: fill(root, {"a": 9, "b": 2}),
            "class 'b': expected at least 2 training",
        ),  # one stays for validation
        (lambda root: fill(root / "train", {"a": 3, "b": 3}), "found only one of them"),  # no validation
        (
            lambda root: (fill(root / "train", {"a": 3, "b": 3}), fill(root / "validation", {"a": 3, "c": 3})),
            "same classes in both splits.*b, c",
        ),
    ],
)
def test_unusable_folders_are_one_line(make: object, message: str, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    make(root)  # type: ignore[operator]
    with pytest.raises(UserError, match=message) as caught:
        load_dataset(root)
    assert "\n" not in str(caught.value)
    assert "photos" in str(caught.value)
