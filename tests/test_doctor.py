"""The doctor, on photos with faults that were put there on purpose; and that what it suggests is done safely."""

import csv
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Job, colour_picture, run_here
from PIL import Image

from edge.model.contract import ModelSpec
from edge.pictures import camera
from train.confident_learning import suspects
from train.dataset import Dataset, Picture, load_dataset
from train.doctor import Case, Finding, _leave_one_out, _near, diagnose, examine
from train.doctor_table import apply_table, write_table
from train.figures import Figures
from train.html_report import _map, answer
from train.learning_curve import LearningCurve, learn, out_of_fold


def doctor(data: Path, out: Path, *more: object) -> Job:
    return run_here("train", "--data", data, "--doctor", "--out", out, "--size", 96, *more)


def rows_of(path: Path) -> list[tuple[str, str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [(row["path"], row["finding"], row["suggestion"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red and blue discs, 30 of each; one fault of each kind among them."""
    root = tmp_path_factory.mktemp("faulty") / "photos"
    for label in ("blue", "red"):
        (root / label).mkdir(parents=True)
        for number in range(30):
            cv2.imwrite(str(root / label / f"{label}{number:02}.png"), colour_picture(label, number))
    cv2.imwrite(str(root / "blue" / "=wrong.png"), colour_picture("red", 501))
    shutil.copy(root / "red" / "red03.png", root / "red" / "double.png")
    shutil.copy(root / "red" / "red04.png", root / "blue" / "both.png")
    cv2.imwrite(str(root / "red" / "night.png"), colour_picture("red", 502) // 8)
    cv2.imwrite(str(root / "red" / "soft.png"), cv2.GaussianBlur(colour_picture("red", 503), (0, 0), 9))
    cv2.imwrite(str(root / "blue" / "white.png"), np.maximum(colour_picture("blue", 504), 252))
    cv2.imwrite(str(root / "blue" / "wide.png"), cv2.resize(colour_picture("blue", 505), (240, 96)))
    cv2.imwrite(str(root / "red" / "tiny.png"), cv2.resize(colour_picture("red", 506), (40, 40)))
    (root / "red" / "cut.png").write_bytes((root / "red" / "red00.png").read_bytes()[:2000])
    return root


def test_the_doctor_finds_what_was_put_there(faulty: Path, tmp_path: Path) -> None:
    before = contents(faulty)
    job = doctor(faulty, tmp_path)
    assert job.returncode == 0, job.stderr
    found = rows_of(tmp_path / "doctor.csv")
    for row in (
        ("./=wrong.png", "wrong label", "move to red"),
        ("blue/both.png", "two labels", None),  # said to be wrong above already, so it is not moved twice
        ("red/red04.png", "two labels", "look"),
        ("red/red03.png", "copy", "set aside"),
        ("red/night.png", "dark", "look"),
        ("red/soft.png", "blurred", "look"),
        ("blue/white.png", "over-exposed", "look"),
        ("blue/wide.png", "long", "look"),
        ("red/tiny.png", "small", "look"),
        ("red/cut.png", "unreadable", "look"),
    ):
        path = row[0].replace("./", "blue/")
        assert any(each[:2] == (path, row[1]) and each[2] == (row[2] or each[2]) for each in found), (row, found)
    wrong = {path for path, finding, _ in found if finding == "wrong label"}
    assert {"blue/=wrong.png", "blue/both.png"} <= wrong
    assert len(wrong) <= 3
    actions = Counter(path for path, _, suggestion in found if suggestion not in ("look", "keep"))
    assert max(actions.values()) == 1
    assert contents(faulty) == before
    page = (tmp_path / "doctor.html").read_text()
    assert "data:image/jpeg" in page
    assert not re.search(r"""(src|href)=["']?https?:|url\(["']?http|@import""", page)
    assert all(finding in page.lower() for _, finding, _ in found)


def contents(*folders: Path) -> Counter[str]:
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return Counter(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two splits of two classes."""
    root = tmp_path / "photos"
    for split in ("train", "validation"):
        for label in ("blue", "red"):
            (root / split / label / "deep").mkdir(parents=True)
            for number in range(3):
                picture = colour_picture(label, number + 10 * (split == "train"))
                cv2.imwrite(str(root / split / label / f"{number}.png"), picture)
    cv2.imwrite(str(root / "train/blue/deep/9.png"), colour_picture("blue", 99))
    cv2.imwrite(str(root / "train/blue/=1.png"), colour_picture("blue", 98))
    return root


def write(path: Path, *rows: tuple[str, str], separator: str = ",") -> Path:
    lines = [separator.join(("path", "finding", "suggestion"))]
    lines += [separator.join((name, "wrong label", suggestion)) for name, suggestion in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def applied(photos: Path, csv_file: Path) -> Job:
    return run_here("train", "--data", photos, "--doctor", "--apply", csv_file)


@pytest.mark.parametrize("separator", [",", ";"])  # a spreadsheet saves with that of its country
def test_what_the_table_says_is_done_and_nothing_is_lost(photos: Path, tmp_path: Path, separator: str) -> None:
    aside = tmp_path / "photos-set-aside"
    before = contents(photos)
    rows = [
        ("train/blue/0.png", "move to red"),  # where one of that name is: it gets another name
        ("validation/blue/1.png", "move to red"),  # within its split
        ("train/blue/deep/9.png", "set aside"),
        ("./train/blue/=1.png", "Set Aside"),
        ("train/red/1.png", "move to red"),  # is there
        ("train/red/2.png", "keep"),
        ("train/red/2.png", "look"),
        ("nowhere.png", ""),
    ]
    job = applied(photos, write(tmp_path / "t.csv", *rows, separator=separator))
    assert job.returncode == 0, job.stderr
    assert (photos / "train/red/0.png").is_file()
    assert (photos / "train/red/0-2.png").is_file()
    assert (photos / "validation/red/1-2.png").is_file()
    assert (aside / "train/blue/deep/9.png").is_file()
    assert (aside / "train/blue/=1.png").is_file()
    assert (photos / "train/red/1.png").is_file()
    assert not (photos / "train/blue/0.png").exists()
    assert contents(photos, aside) == before
    assert len(job.stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("../other.png", "set aside"), "expected the path of a picture below"),
        (("train/../../other.png", "set aside"), "expected the path of a picture below"),
        (("/etc/hostname", "set aside"), "expected the path of a picture below"),
        (("train/blue/gone.png", "set aside"), "expected the path of a picture below"),
        (("train/blue", "set aside"), "expected the path of a picture below"),
        (("", "set aside"), "expected the path of a picture below"),
        (("train/red/0.png", "move to blue"), "found two"),
        (("train//red/./0.png", "set aside"), "found two"),
        (("train/red/1.png", "move to ../../etc"), "expected 'set aside'"),
        (("train/red/1.png", "move to "), "expected 'set aside'"),
        (("train/red/1.png", "delete"), "expected 'set aside'"),
        (("train/red/1.png", "=HYPERLINK()"), "expected 'set aside'"),
    ],
)
def test_a_hostile_row_moves_nothing(photos: Path, tmp_path: Path, row: tuple[str, str], said: str) -> None:
    (tmp_path / "other.png").write_bytes((photos / "train/red/0.png").read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    job = applied(photos, write(tmp_path / "t.csv", ("train/red/0.png", "set aside"), row))
    assert job.returncode == 2
    assert said in job.stderr
    assert len(job.stderr.splitlines()) == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "expected a table that --doctor wrote"),
        (b"", "expected the columns"),
        (b"path,suggestion\n", "found no finding"),
        (b'path,finding,suggestion\n"train/red/0.png,x,set aside\n', "expected a CSV table"),
        (b"\x00\xff\xfe", "expected the columns"),
        (b"path,finding,suggestion\n\xff.png,x,set aside\n", "expected the path of a picture"),
    ],
)
def test_a_table_that_is_none(photos: Path, tmp_path: Path, data: bytes | None, said: str) -> None:
    if data is not None:
        (tmp_path / "t.csv").write_bytes(data)
    job = applied(photos, tmp_path / "t.csv")
    assert job.returncode == 2
    assert said in job.stderr
    assert len(job.stderr.splitlines()) == 1


def test_a_move_that_fails_takes_back_those_before_it(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses the second move, as it does between two disks."""
    rename, calls = Path.rename, list[Path]()

    def refuse(source: Path, target: Path) -> Path:
        calls.append(source)
        if len(calls) == 2:
            raise OSError(18, "Invalid cross-device link")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", refuse)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    job = applied(photos, write(tmp_path / "t.csv", ("train/red/0.png", "set aside"), ("train/red/1.png", "set aside")))
    assert (job.returncode, len(calls)) == (2, 3)
    assert "nothing was changed" in job.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


def test_an_edited_table_is_not_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "doctor.csv", ("mine", "keep"))
    edited = path.read_bytes()
    write_table(path, tmp_path, [Finding("x", "", "", [])])
    assert (tmp_path / "doctor.csv.bak").read_bytes() == edited


def test_apply_without_the_doctor_is_refused(tmp_path: Path) -> None:
    job = run_here("train", "--data", tmp_path, "--out", tmp_path, "--apply", "x.csv")
    assert (job.returncode, job.stderr) == (2, "error: --apply: expected --doctor with it\n")


def test_confident_learning_by_hand() -> None:
    """The thresholds are 0.65, 0.5 and 0.4 at first; each line says what follows."""
    scores = np.array(
        [
            [0.9, 0.05, 0.05],
            [0.3, 0.7, 0.0],  # counts as the second: a suspect, margin -0.4
            [0.6, 0.4, 0.0],
            [0.1, 0.8, 0.1],
            [0.42, 0.2, 0.38],  # counts as none: no suspect, although the first is likelier
            [0.8, 0.1, 0.1],
            [0.62, 0.08, 0.3],  # counts as the first: a suspect, margin -0.32
            [0.1, 0.4, 0.5],
        ]
    )
    labels = np.array([0, 0, 0, 1, 1, 0, 2, 2])
    assert [scores[labels == k, k].mean() for k in range(3)] == pytest.approx([0.65, 0.5, 0.4])
    order, seems = suspects(scores, labels)
    assert (order.tolist(), seems.tolist()) == ([1], [1])
    scores[6] = 0.7, 0.0, 0.3
    order, seems = suspects(scores, labels)
    assert (order.tolist(), seems.tolist()) == ([1, 6], [1, 0])
    scores[6] = 0.75, 0.0, 0.25  # the third threshold falls to 0.375, and the fifth picture counts as the third label
    order, seems = suspects(scores, labels)
    assert (order.tolist(), seems.tolist()) == ([6, 1, 4], [0, 1, 2])


def clouds(count: int, classes: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    labels = dice.integers(0, classes, count)
    rows = dice.normal(0, 1, (classes, 40))[labels] + dice.normal(0, spread, (count, 40))
    return rows.astype(np.float32), labels


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.5])
def test_flipped_labels_come_first(spread: float) -> None:
    rows, labels = clouds(1000, 5, spread)
    dice = np.random.default_rng(1)
    flipped = dice.choice(1000, 50, replace=False)
    given = labels.copy()
    given[flipped] = (labels[flipped] + dice.integers(1, 5, 50)) % 5
    logits = out_of_fold(rows, given, 5, np.arange(1000) % 20)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    order, seems = suspects(scores, given)
    assert np.isin(flipped, order[:50]).mean() >= 0.6
    assert (seems[np.isin(order, flipped)] == labels[order[np.isin(order, flipped)]]).mean() > 0.9
    clean = np.exp(logits := out_of_fold(rows, labels, 5, np.arange(1000) % 20)) / np.exp(logits).sum(1, keepdims=True)
    if spread < 1:
        assert len(suspects(clean, labels)[0]) <= 10


def test_no_answer_comes_from_a_head_that_saw_the_picture() -> None:
    """Labels that are noise cannot be learned: who did would have seen them."""
    dice = np.random.default_rng(0)
    rows, labels = dice.normal(size=(600, 200)).astype(np.float32), dice.integers(0, 2, 600)
    answers = out_of_fold(rows, labels, 2, np.arange(600) % 20).argmax(axis=1)
    assert 0.42 < (answers == labels).mean() < 0.58


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
def test_the_camera_that_another_library_wrote(tmp_path: Path, kind: str) -> None:
    for model in ("X1", "Canon EOS 80D"):
        exif = Image.Exif()
        exif[0x010F], exif[0x0110], exif[0x0112] = "Maker", model, 6
        Image.new("RGB", (40, 20)).save(tmp_path / "a", kind, exif=exif)
        assert camera((tmp_path / "a").read_bytes()) == model
    Image.new("RGB", (40, 20)).save(tmp_path / "a", kind)
    assert camera((tmp_path / "a").read_bytes()) == ""


def test_typical_keys_by_brute_force() -> None:
    dice = np.random.default_rng(0)
    labels = dice.integers(0, 3, 80)
    keys = [f"{(label + dice.integers(0, 2)) % 4}" for label in labels] + ["alone"]
    labels = np.append(labels, 1)
    for i, guess in enumerate(_leave_one_out(keys, labels, 3).tolist()):
        others = [j for j in range(len(keys)) if j != i]
        share = [
            sum(keys[j] == keys[i] and labels[j] == k for j in others) / sum(labels[j] == k for j in others)
            for k in range(3)
        ]
        assert guess == (int(np.argmax(share)) if max(share) else -1)


def case(data: Dataset, rows: np.ndarray) -> Case:
    return examine(data, ModelSpec(data.labels, (32, 32), backbone="x"), rows, rows)


def test_a_class_that_the_camera_tells_apart(tmp_path: Path) -> None:
    """And only that: the pictures themselves are noise of one kind."""
    dice = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(40):
            exif = Image.Exif()
            exif[0x0110] = "Pixel 7" if (label == "cat") == (number > 1) else "iPhone 12"
            picture = Image.fromarray(dice.integers(0, 255, (48, 48, 3), np.uint8))
            picture.save(tmp_path / label / f"p{'abcdefghij'[number // 10]}{'abcdefghij'[number % 10]}.jpg", exif=exif)
    data = load_dataset(tmp_path)
    found = {each.name: each for each in diagnose(case(data, dice.normal(size=(80, 8)).astype(np.float32)))}
    assert {name for name in found if name.startswith("told by")} == {"told by camera"}
    assert "`cat` (38 of 40 found, 2 of 40 others taken for it)" in found["told by camera"].sentence


def test_nearest_pictures_by_brute_force(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of a few, against all cosines at once."""
    data = load_dataset(photos)
    count = len(data.train) + len(data.validation)
    rows = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    rows[1], rows[-1] = 1.01 * rows[0], 1.02 * rows[0]
    built = case(data, rows)
    monkeypatch.setattr("train.doctor._BLOCK", 4 * count)
    found = {finding.name: finding for finding in _near(built)}
    centred = rows - rows.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = centred @ centred.T
    np.fill_diagonal(cosine, -1)
    place = {picture.path: i for i, picture in enumerate(built.pictures)}
    label = built.labels[:, None] == built.labels
    split = np.array([picture.path.parent.parent.name for picture in built.pictures])
    split = split[:, None] == split
    for name, mask in (
        ("nearly the same, two labels", ~label),
        ("nearly the same, two splits", label & ~split),
        ("nearly the same", label & split),
    ):
        values = np.where(mask, cosine, -1)
        expected = {frozenset((i, int(values[i].argmax()))) for i in range(count) if values[i].max() >= 0.9}
        if name.endswith("splits"):  # the one of training is set aside, so its nearest is what counts
            expected = {
                frozenset((i, int(values[i].argmax()))) for i in range(len(data.train)) if values[i].max() >= 0.9
            }
        shown = found[name].rows if expected else []
        assert {frozenset((place[row.path], place[row.other])) for row in shown if row.other} == expected
        assert expected, name


def test_the_learning_curve_by_hand() -> None:
    """20 of 1000 were wrong, 10 are left, a point was gained: twice the pictures halve the mistakes once more."""
    half, full = np.array([[490, 10], [10, 490]]), np.array([[492, 8], [2, 498]])
    curve = LearningCurve([400, 800], [Figures(("a", "b"), half), Figures(("a", "b"), full)], 1.0, 0.4)
    assert curve.twice() == pytest.approx((0.5, 0.3, 0.7))
    assert curve.sentence() == (
        "Twice the photos would bring about 0.5 points (0.3 to 0.7). "
        "More of `a` above all: 492 of 500 of them are right."
    )
    assert "0.5 points or nothing: at most 1.1" in replace(curve, error=1.2).sentence()
    assert "0.0 points or nothing: at most 0.5" in replace(curve, gain=-0.2, error=0.7).sentence()
    assert replace(curve, figures=[Figures(("a", "b"), np.diag([5, 5]))] * 2).twice() is None


def test_what_twice_the_pictures_bring_is_what_they_bring() -> None:
    """Foretold from a half, and measured on all: five draws of clouds, within the interval in most."""
    hits = []
    for seed in range(5):
        rows, labels = clouds(1600, 8, 2.5, seed)
        fold = np.arange(1600) % 20
        early, late = (learn(rows[:n], labels[:n], tuple("abcdefgh"), fold[:n]) for n in (800, 1600))
        foretold = early.twice()
        assert foretold is not None
        brought = 100 * (late.figures[-1].accuracy - early.figures[-1].accuracy)
        hits.append(foretold[1] - 1.5 <= brought <= foretold[2] + 1.5)
    assert sum(hits) >= 4


def test_a_learning_curve_of_clouds_rises() -> None:
    rows, labels = clouds(1200, 6, 3.0)
    curve = learn(rows, labels, tuple("abcdef"), np.arange(1200) % 20)
    accuracies = [each.accuracy for each in curve.figures]
    assert curve.sizes == [120, 240, 480, 960]
    assert accuracies == sorted(accuracies)
    assert [each.pictures for each in curve.figures] == [1200] * 4


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="slow: set FROSTLITE_SLOW=1")
def test_flipped_labels_of_real_photos(horses_or_humans: Path, tmp_path: Path) -> None:
    """5 % of the labels of Horses-or-Humans, through the whole command."""
    dice = np.random.default_rng(0)
    root = tmp_path / "photos"
    paths = sorted(horses_or_humans.glob("*/*/*.png"))
    flipped = set(dice.choice(len(paths), len(paths) // 20, replace=False).tolist())
    for number, path in enumerate(paths):
        label = path.parent.name
        if number in flipped:
            label = {"horses": "humans", "humans": "horses"}[label]
        target = root / path.parent.parent.name / label / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    assert run_here("train", "--data", root, "--doctor", "--out", tmp_path).returncode == 0
    found = [Path(path) for path, finding, _ in rows_of(tmp_path / "doctor.csv") if finding == "wrong label"]
    wrong = {paths[number].name for number in flipped}
    assert sum(path.name in wrong for path in found[: len(wrong)]) / len(wrong) >= 0.6


def test_apply_returns_where_pictures_went(photos: Path, tmp_path: Path) -> None:
    moved = apply_table(write(tmp_path / "t.csv", ("train/red/0.png", "set aside")), load_dataset(photos))
    assert moved == {photos / "train/red/0.png": tmp_path / "photos-set-aside/train/red/0.png"}


def figures_of(confusion: list[list[int]]) -> Figures:
    return Figures(tuple("abc"[: len(confusion)]), np.array(confusion))


@pytest.mark.parametrize(
    ("right", "of", "headline", "expected"),
    [
        (88, 100, "crossfit", "88 of 100 right on pictures it never saw; 80 to 93 with 95 % confidence"),
        (440, 500, "test", "88 of 100 right on pictures it never saw; 85 to 91 with 95 % confidence"),
        (997, 1000, "test", "99.7 of 100 right on pictures it never saw; 99 to 99.9 with 95 % confidence"),
        (50, 50, "test", "100 of 100 right on pictures it never saw; 93 to 100 with 95 % confidence"),
        (9, 10, "validation", "90 of 100 right on pictures that chose what was kept; 60 to 98 with 95 % confidence"),
    ],
)
def test_the_answer(right: int, of: int, headline: str, expected: str) -> None:
    assert answer(figures_of([[right, of - right], [0, 0]]), headline) == expected


def section(page: str, start: str, end: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page[page.index(start) : page.index(end)]))


def test_the_report_of_a_run(faulty: Path, tmp_path: Path) -> None:
    """The page says what `metrics.json` says, and stands alone; `doctor.csv` is beside it."""
    job = run_here("train", "--data", faulty, "--out", tmp_path, "--size", 96)
    assert job.returncode == 0, job.stderr
    assert "report.html" in job.stdout
    page, metrics = (tmp_path / "report.html").read_text(), json.loads((tmp_path / "metrics.json").read_text())
    found = metrics["figures"][metrics["headline"]]
    low, high = (100 * each for each in found["interval"])
    assert f"of 100 right on pictures it never saw; {low:.0f} to" in page
    assert f"{found['accuracy']:.2%} (95 % interval {low:.1f} to {high:.1f} %) on {found['pictures']}" in page
    table = section(page, "<h2>By label", "<h2>Where it errs")
    for label in metrics["labels"]:
        recall, precision = (f"{100 * found[name][label]:.2f} %" for name in ("recall", "precision"))
        assert re.search(f"{label} \\d+ {re.escape(recall)} {re.escape(precision)}".replace(r"\ ", " "), table), table
    mistakes = page.split("<h2>Where it errs")[1].split("<h2>")[0]
    assert 0 < mistakes.count("<figure>") == mistakes.count('alt="Warm: for ')
    assert {row[1] for row in rows_of(tmp_path / "doctor.csv")} >= {"wrong label", "copy", "two labels"}
    assert not re.search(r"""(src|href)=["']?https?:|url\(["']?http|@import""", page)
    points = json.loads(page.split('id="points">')[1].split("</script>")[0])
    assert len(points["x"]) == len(points["name"]) == sum(metrics["images"].values())
    assert hashlib.sha256((tmp_path / "model.keras").read_bytes()).hexdigest() in page


def test_a_map_of_many_photos_stays_small(faulty: Path) -> None:
    """20,000 photos: 10,000 of them are drawn, 400 show a picture, the mistakes first."""
    data = load_dataset(faulty)
    small = case(data, np.random.default_rng(0).normal(size=(len(data.train) + len(data.validation), 8)))
    times = 20_000 // len(small.pictures) + 1
    many = replace(
        small,
        pictures=small.pictures * times,
        **{name: np.concatenate([getattr(small, name)] * times) for name in ("labels", "scores", "unit")},
    )
    found = _map(many, data)
    assert (found["shown"], found["tiles"]) == (10_000, 400)
    wrong = np.array(found["data"]["label"]) != np.array(found["data"]["said"])
    tiles = np.array(found["data"]["tile"])
    assert wrong[tiles >= 0].sum() == min(400, wrong.sum())
    assert sorted(tiles[tiles >= 0].tolist()) == list(range(400))
    assert len(json.dumps(found)) < 1.5e6


def test_the_map_shows_what_principal_components_are() -> None:
    """Against scikit-learn, but for the sign and the scale of each direction."""
    from sklearn.decomposition import PCA

    dice = np.random.default_rng(0)
    unit = (dice.normal(size=(60, 6)) * [5, 3, 1, 1, 1, 1]).astype(np.float32)
    labels = np.zeros(60, int)
    pictures = [Picture(Path(f"/nowhere/{i}.png"), 0, str(i)) for i in range(60)]
    data = Dataset(Path("/nowhere"), ("a", "b"), pictures, [])
    spec = ModelSpec(("a", "b"), (32, 32), backbone="x")
    built = Case(data, spec, pictures, labels, labels, np.ones((60, 2)) * [1, 0], [], labels, unit, labels)
    found, known = _map(built, data), PCA(2).fit(unit)
    for axis, other in zip(("x", "y"), known.transform(unit).T, strict=True):
        assert abs(np.corrcoef(found["data"][axis], other)[0, 1]) > 0.9999
    assert found["share"] == pytest.approx(known.explained_variance_ratio_.sum(), abs=1e-4)
