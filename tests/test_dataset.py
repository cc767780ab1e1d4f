"""A folder of photos to two splits."""

import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import UserError
from edge.model.contract import ModelSpec
from train import known
from train.cache import trim
from train.dataset import load_dataset
from train.groups import by_name
from train.rundir import news, read_run, write_json, write_run
from train.splits import held_out


def paint(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by imwrite: OpenCV dies of names that are no UTF-8.
    path.write_bytes(
        cv2.imencode(".png", np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))[1].tobytes()
    )


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
    fill(tmp_path, {"cat": 60, "dog": 120})
    first, again, other = (load_dataset(tmp_path, seed=seed) for seed in (1, 1, 2))
    assert first.own_split
    assert [p.path for p in first.validation] == [p.path for p in again.validation]
    assert {p.path for p in first.validation} != {p.path for p in other.validation}
    for label, count in enumerate((60, 120)):  # within three standard deviations of a fifth
        assert abs(sum(p.label == label for p in first.validation) - count / 5) < 3 * (count * 0.16) ** 0.5
    assert not {p.path for p in first.train} & {p.path for p in first.validation}
    assert len(first.train) + len(first.validation) == 180


def test_more_photos_move_no_other_one(tmp_path: Path) -> None:
    fill(tmp_path, {"cat": 30, "dog": 30})
    before = load_dataset(tmp_path)
    fill(tmp_path, {"cat": 45, "dog": 31})
    after = load_dataset(tmp_path)
    assert {p.path for p in before.train} <= {p.path for p in after.train}
    assert {p.path for p in before.validation} <= {p.path for p in after.validation}
    assert len(after.train) + len(after.validation) == 76


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=6, max_size=80),
    st.floats(0.05, 0.5),
    st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_what_belongs_together_never_stands_on_both_sides(
    entries: list[tuple[int, int]], share: float, seed: int
) -> None:
    keys, labels = [f"{label}-{content}" for label, content in entries], [label for label, _ in entries]
    out = held_out(keys, labels, share, seed)
    sides = {key: {side for other, side in zip(keys, out, strict=True) if other == key} for key in keys}
    assert all(len(side) == 1 for side in sides.values())
    for label in set(labels):
        groups = Counter(key for key, other in zip(keys, labels, strict=True) if other == label)
        mine = [side for side, other in zip(out, labels, strict=True) if other == label]
        if len(mine) - min(groups.values()) >= 2:  # then both sides get one, and training two
            assert True in mine
            assert mine.count(False) >= 2


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
    data = load_dataset(tmp_path)
    assert [(train.name, validation.name) for train, validation in data.leaked] == [("001.png", "copy.png")]
    assert not data.contradicted


def test_one_picture_under_two_labels_is_a_contradiction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, {"cat": 8, "dog": 8})
    (tmp_path / "dog" / "same.png").write_bytes((tmp_path / "cat" / "003.png").read_bytes())
    pixels = cv2.imread(str(tmp_path / "cat" / "004.png"))
    cv2.imwrite(str(tmp_path / "dog" / "same-pixels.bmp"), pixels)
    data = load_dataset(tmp_path)
    named = {("cat/003.png", "dog/same.png"), ("cat/004.png", "dog/same-pixels.bmp")}
    assert {tuple(str(p.relative_to(tmp_path)) for p in sorted(pair)) for pair in data.contradicted} == named
    assert not data.leaked
    data.tell()
    told = capsys.readouterr().err
    assert "two labels" in told
    assert all(f"{tmp_path}/{name}" in told for pair in named for name in pair)
    # Whatever one believes of them, both stand on the same side.
    sides = [{p.path.name for p in split} for split in (data.train, data.validation)]
    assert sum({"003.png", "same.png"} <= side for side in sides) == 1


def test_thirteen_copies_of_one_picture_are_one_picture(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 9, "b": 1})
    for number in range(1, 13):
        (tmp_path / "b" / f"{number:03}.png").write_bytes((tmp_path / "b" / "000.png").read_bytes())
    with pytest.raises(UserError, match="class 'b': expected at least 3 different pictures, found 1 in 13 files"):
        load_dataset(tmp_path)
    fill(tmp_path, {"b": 3})
    data = load_dataset(tmp_path)  # ten copies and two others
    sides = [{p.digest for p in split if p.label == 1} for split in (data.train, data.validation)]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        # what lies between bars belongs together
        ("| s1/a s1/b | s2/a s2/b | s3/c", "folders"),
        ("| horse01-0 horse01-1 | horse02-0 horse02-1 |", "names"),
        ("| clip1_frame_001 clip1_frame_002 | clip2_f1 clip2_f2 |", "names"),
        ("| 20261125-190844-100 20261125-190844-600 20261125-190853-000 | 20261125-191000-000", "times in names"),
        ("| IMG_20260101_120000 IMG_20260101_120004 | IMG_20260101_130000", "times in names"),
        ("| PXL_20260101_120000123 PXL_20260101_120004000 | x", "times in names"),
        ("| 20261231-235958-000 20270101-000001-000 | 20270101-090000-000", "times in names"),
        (f"| a_jpg.rf.{'0123456789abcdef' * 2} a_jpg.rf.{'f' * 32} | b", "names of copies"),
        ("IMG_0001 IMG_0002 IMG_0003", ""),  # a counter, and no subject
        ("0001 0002 0003", ""),
        ("n02084071_1 n02084071_2 n02084071_3", ""),  # one group would leave nothing to tell apart
        ("| 20269999-999999-000 20269999-999999-001 | x", "names"),  # digits that are no time
        ("s1/a s1/b s1/c", ""),
    ],
)
def test_names_tell_what_belongs_together(names: str, kind: str) -> None:
    places = [tuple(name.split("/")) for name in names.replace("|", "").split()]
    groups, found = by_name(places)
    sets: dict[str, list[str]] = {}
    for place, key in zip(places, groups, strict=True):
        if key:
            sets.setdefault(key, []).append("/".join(place))
    expected = [part.strip() for part in names.split("|") if " " in part.strip()] if "|" in names else []
    assert (sorted(map(" ".join, sets.values())), found) == (sorted(expected), kind)


def test_copies_by_name_go_with_their_original() -> None:
    places = [(name,) for name in ("a", "a (1)", "a - Copy", "a - Copy (2)", "b", "c copy")]
    assert by_name(places) == (["a"] * 4 + ["", ""], "names of copies")


def test_bursts_and_subfolders_stay_on_one_side_and_it_is_said(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for burst in range(8):
            for number in range(5):
                paint(
                    tmp_path / label / f"20261125-19{burst:02}00-{number}00.png", hash((label, burst, number)) % 10**6
                )
    data = load_dataset(tmp_path)
    train, validation = ({(p.label, p.path.name[:13]) for p in split} for split in (data.train, data.validation))
    assert len(train) + len(validation) == 16
    assert not train & validation
    assert [note for note in data.notes if "times in names: 80 pictures" in note]


def place(root: Path, names: str) -> None:
    """Three pictures in each folder; a name that ends in * gets files of another kind instead."""
    for number, name in enumerate(names.split()):
        folder = root / name.rstrip("*")
        if name.endswith("*"):
            folder.mkdir(parents=True)
            (folder / "notes.xml").write_text("<x/>")
        else:
            for index in range(4):
                paint(folder / f"{index}.png", 100 * number + index)


TWO = "{0}/cat {0}/dog"
SPLITS = [
    ("Training", "Testing", None),
    ("Train", None, "Validation"),
    ("TRAIN", "TEST", "VAL"),
    ("train", "test", "valid"),
    ("trn", "tst", "dev"),
    ("training_set", "test_set", None),
    ("Train-Data", "Holdout", "Eval"),
    ("train", "eval", "val"),  # what evaluates when there is a validation is a test
    ("trainset", None, "valset"),
    ("TrainImages", "TestImages", None),
    ("seg_train", "seg_test", None),
    ("flowers-training", "flowers-testing", "flowers-validation"),
    ("1_train", "3_test", "2_val"),
    ("train", None, None),
]


@pytest.mark.parametrize("nested", ["", "photos/", "a/b/"])
@pytest.mark.parametrize(("train", "test", "validation"), SPLITS)
def test_split_names_that_people_use(
    train: str, test: str | None, validation: str | None, nested: str, tmp_path: Path
) -> None:
    for number, name in enumerate(filter(None, (train, test, validation))):
        for label in range(2):
            for index in range(6):
                paint(
                    tmp_path / nested / name / ("cat", "dog")[label] / f"{index}.png", 100 * number + 10 * label + index
                )
    paint(tmp_path / "__MACOSX" / "photos" / "._0.png", 7)
    data = load_dataset(tmp_path)
    assert data.labels == ("cat", "dog")
    assert {p.path.relative_to(tmp_path / nested).parts[0] for p in data.train} == {train}
    assert {p.path.relative_to(tmp_path / nested).parts[0] for p in data.test} == ({test} if test else set())
    held = {p.path.relative_to(tmp_path / nested).parts[0] for p in data.validation}
    assert held == {validation or train}
    assert data.own_split == (validation is None)


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        ("valid invalid", "invalid valid"),
        ("train bus plane", "bus plane train"),
        ("test passed", "passed test"),
        ("dev ops", "dev ops"),
        ("bullet-train steam-train", "bullet-train steam-train"),
        ("cat/s1 cat/s2 dog/s1 dog/s2", "cat dog"),  # sessions, not classes
        ("cat/kitchen cat/garden dog/street dog/park", "cat dog"),
        ("train/train/cat train/train/dog test/test/cat test/test/dog", "cat dog"),  # each split in one more folder
        ("data/train/cat data/train/dog data/test/cat data/test/dog", "cat dog"),
        ("train/cat train/dog test/cat test/dog unlabelled", "cat dog"),
        ("train/cat train/dog validation/cat validation/dog test", "cat dog"),  # a test without labels
        ("cat dog annotations*", "cat dog"),
        ("cat dog .ipynb_checkpoints @eaDir .thumbnails .Trash-1000 __MACOSX $RECYCLE.BIN lost+found", "cat dog"),
        ("cat/.ipynb_checkpoints cat dog dog/@eaDir", "cat dog"),
        ("0 1 2", "0 1 2"),
    ],
)
def test_what_lies_in_folders_tells_classes(folders: str, labels: str, tmp_path: Path) -> None:
    place(tmp_path, folders)
    data = load_dataset(tmp_path)
    assert data.labels == tuple(labels.split())
    used = [p.path.relative_to(tmp_path).parts for p in data.train + data.validation + data.test]
    assert not [part for parts in used for part in parts if part[0] in ".@$_" or part == "lost+found"]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ("A/cat A/dog B/cat B/dog", "same folders.*name the splits train/"),  # names that nobody knows
        ("fold1/0 fold1/1 fold2/0 fold2/1", "same folders"),
        ("raw/cat raw/dog new/train/cat new/train/dog new/test/cat new/test/dog", "new: .*splits, .*give .*new alone"),
        ("cat/train cat/val dog/train dog/val bird/train", "cat: .*splits, .*make them the outer folders"),
        ("train validation", "expected train/ and validation/ to hold a folder for each class"),  # no classes
        ("train/cat train/dog validation", "validation: expected a folder for each class, found 4 pictures"),
        ("cat dog test/cat test/dog", "found only one of them, test/"),
        ("train/cat train/dog extra", "found only one of them, train/"),
        ("train/cat train/dog Train/cat Train/dog test/cat test/dog", "expected one train folder, found several"),
        ("train/cat train/dog val/cat val/cow", "same classes in both splits.*cow, dog"),
        ("train/cat train/dog test/cat test/cow", "same classes in both splits.*cow, dog"),
        ("cat/a cat/b", "at least two class folders|class 'a'|found"),
    ],
)
def test_folders_that_could_be_either_are_refused_in_one_line(folders: str, message: str, tmp_path: Path) -> None:
    place(tmp_path, folders)
    if folders == "cat/a cat/b":  # one folder that holds two: those are the classes
        assert load_dataset(tmp_path).labels == ("a", "b")
        return
    with pytest.raises(UserError, match=message) as caught:
        load_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_was_left_out_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, {"cat": 8, "dog": 8})
    whole = (tmp_path / "cat" / "000.png").read_bytes()
    for name in ("photo", "photo.jfif", "photo.jpe", "photo.JPG_large"):  # PNG all, whatever they are called
        (tmp_path / "cat" / name).write_bytes(whole)
    cv2.imwrite(str(tmp_path / "dog" / "x.ppm"), np.full((8, 8, 3), 7, np.uint8))
    for name in ("labels.csv", "a.txt", "b.txt", "clip.mp4", "README"):
        (tmp_path / "dog" / name).write_text("no picture")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._000.png"):
        (tmp_path / "dog" / name).write_bytes(b"a machine's")
    (tmp_path / "dog" / "one.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "dog" / "two.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    paint(tmp_path / "stray.png", 99)
    (tmp_path / "dog" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "dog" / "loop").symlink_to(tmp_path)
    data = load_dataset(tmp_path)
    data.tell()
    told = capsys.readouterr()
    assert len(data.train) + len(data.validation) == 8 + 8 + 4 + 1
    assert "left out: 2 .txt, 1 " in told.out
    for part in ("1 .csv", "1 .mp4", "1 without a suffix", "1 pictures beside the folders"):
        assert part in told.out
    assert "one.heic and 1 more: " in told.err
    assert "found HEIC: save it as JPEG" in told.err
    assert "gone.jpg: No such file" in told.err


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("Mo\u0308we", "M\u00f6we"),  # decomposed, as a Mac writes it
        ("cat ", "cat"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),  # a family
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        (os.fsdecode(b"M\xf6we"), "M\u00f6we"),  # an old Windows wrote it
    ],
)
def test_names_of_classes(folder: str, label: str, tmp_path: Path) -> None:
    fill(tmp_path / "train", {folder: 4, "dog": 4})
    fill(tmp_path / "validation", {label: 4, "dog": 4}, start=500)
    data = load_dataset(tmp_path)
    assert set(data.labels) == {label, "dog"}
    ModelSpec(data.labels, (32, 32))
    write_run(tmp_path / "run", ModelSpec(data.labels, (32, 32)), data)
    (tmp_path / "run" / "model.keras").touch()
    write_json(tmp_path / "run" / "metrics.json", {})
    assert read_run(tmp_path / "run").train == data.train


def test_a_name_with_a_newline_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path, {"cat": 4, "d\nog": 4})
    with pytest.raises(UserError, match="expected a folder's name that can be printed"):
        load_dataset(tmp_path)


def test_known_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTLITE_CACHE", str(tmp_path / "cache"))
    fill(tmp_path / "photos", {"cat": 5, "dog": 5})
    first = load_dataset(tmp_path / "photos")
    opened: list[bytes] = []
    decode = known.decode_picture
    monkeypatch.setattr(known, "decode_picture", lambda data: opened.append(data) or decode(data))
    again = load_dataset(tmp_path / "photos")
    assert (again.train, again.validation) == (first.train, first.validation)
    assert not opened
    paint(tmp_path / "photos" / "cat" / "001.png", 77)  # same name, other content
    (tmp_path / "photos" / "cat" / "moved.png").write_bytes((tmp_path / "photos" / "cat" / "000.png").read_bytes())
    changed = load_dataset(tmp_path / "photos")
    assert len(opened) == 1  # the copy is known by its content
    assert len({p.digest for p in changed.train + changed.validation}) == 10
    assert len(changed.train) + len(changed.validation) == 11


def test_what_is_new_since_the_last_run_is_counted(tmp_path: Path) -> None:
    photos, run = fill(tmp_path / "photos", {"cat": 8, "dog": 8}), tmp_path / "run"
    first = load_dataset(photos)
    assert news(run, first) == ""  # there was none
    write_run(run, ModelSpec(first.labels, (32, 32)), first)
    (photos / "cat" / "000.png").unlink()
    (photos / "cat" / "001.png").rename(photos / "cat" / "moved.png")  # neither new nor gone
    paint(photos / "dog" / "002.png", 900)
    paint(photos / "dog" / "one.png", 901)
    paint(photos / "dog" / "two.png", 902)
    assert news(run, load_dataset(photos)).endswith("2 pictures are new, 1 changed, 1 gone")
    other = load_dataset(fill(tmp_path / "others", {"a": 4, "b": 4}))
    assert news(run, other) == ""


def test_the_cache_has_a_limit_and_tells_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FROSTLITE_CACHE", str(tmp_path))
    for number, name in enumerate(("oldest", "older", "recent", "now")):
        folder = tmp_path / "features" / name
        folder.mkdir(parents=True)
        (folder / "rows").write_bytes(bytes(1_000_000))
        (folder / "lock").touch()
        if name.startswith("old"):
            os.utime(folder / "lock", (10**9 + number, 10**9 + number))
    trim("now")
    assert "cache: 0.00 GB of features, at most 20 GB" in capsys.readouterr().out
    monkeypatch.setenv("FROSTLITE_CACHE_LIMIT", "0.0035")
    trim("now")
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == ["now", "older", "recent"]
    monkeypatch.setenv("FROSTLITE_CACHE_LIMIT", "0")
    trim("now")  # what another command may be using stays
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == ["now", "recent"]
    assert "deleted features that were not used since 2001-09-09" in capsys.readouterr().out
    monkeypatch.setenv("FROSTLITE_CACHE_LIMIT", "much")
    with pytest.raises(UserError, match="FROSTLITE_CACHE_LIMIT: expected a number of GB"):
        trim("now")


def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FROSTLITE_CACHE", str(tmp_path / "file"))
    fill(tmp_path / "photos", {"cat": 5, "dog": 5})
    assert len(load_dataset(tmp_path / "photos").train) > 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "expected a folder of photos, found nothing"),  # missing
        (lambda root: root.write_text(""), "expected a folder of photos, found a file"),  # a file
        (lambda root: root.mkdir(), "at least two class folders.*none"),  # empty
        (lambda root: paint(root / "1.png", 1), "at least two class folders.*none and 1 pictures"),  # no folders
        (lambda root: fill(root, {"only": 9}), "at least two class folders.*'only'"),  # one class
        (lambda root: fill(root, {"a": 9, "b": 0}), "class 'b': expected at least 3 different pictures, found 0"),
        (lambda root: fill(root, {"a": 9, "b": 1}), "class 'b': expected at least 3 different pictures, found 1"),
        (lambda root: fill(root, {"a": 9, "b": 2}), "class 'b': expected at least 3 different pictures, found 2"),
        (
            lambda root: (fill(root / "train", {"a": 3, "b": 1}), fill(root / "validation", {"a": 3, "b": 3})),
            "class 'b': expected at least 2 training pictures, found 1",
        ),
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


def test_an_archive_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"photos\.zip: expected a folder of photos, found a file; unpack it first"):
        load_dataset(tmp_path / "photos.zip")
