"""Files and folders with any names, in any locale, through every command."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from conftest import ROOT, colour_picture

from edge.text import one_line, printable

NAMES = [
    b"plain.png", "M\u00f6we.png".encode(), "Mo\u0308we.png".encode(),
    b"caf\xe9.png", b"new\nline.png", b"tab\there.png",
    b" lead.png", b"trail.png ", b"quote\"'.png", "\u202eevil.png".encode(), b"\x1b[31mred.png", b"a,b;c.png",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467.png".encode(), b"%s{0}.png", b"$HOME `x`.png",
]  # fmt: skip
LABELS = ("M\u00f6we \u0645\u06cc\u200c", "\U0001f468\u200d\U0001f469")
LOCALES = [
    pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="ascii"),
    pytest.param({"LC_ALL": "C.UTF-8"}, id="utf8"),
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd")
    for split in ("train", "validation"):
        for label, colour in zip(LABELS, ("red", "blue"), strict=True):
            folder = os.fsencode(root / split) + b"/" + label.encode()
            Path(os.fsdecode(folder)).mkdir(parents=True)
            for number, name in enumerate(NAMES):
                frame = colour_picture(colour, number + 100 * (split == "train"))
                Path(os.fsdecode(folder + b"/" + name)).write_bytes(cv2.imencode(".png", frame)[1].tobytes())
    return root


def command(locale: dict[str, str], *words: object) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    line = [sys.executable, "-m", *map(os.fsencode, map(str, words))]
    return subprocess.run(line, capture_output=True, cwd=ROOT, env={**environment, **locale}, timeout=400)


@pytest.mark.parametrize("locale", LOCALES)
def test_classify_and_run_lose_no_file(locale: dict[str, str], odd: Path, tiny_model: Path, tmp_path: Path) -> None:
    pictures = sorted((odd / "validation").rglob("*.png*"))
    assert len(pictures) == 2 * len(NAMES)
    lines = command(locale, "edge", "classify", tiny_model, *pictures)
    assert (lines.returncode, lines.stderr) == (0, b"")
    assert len(lines.stdout.decode().splitlines()) == len(pictures)
    assert b"\x1b" not in lines.stdout
    objects = command(locale, "edge", "classify", "--json", tiny_model, *pictures).stdout.decode().splitlines()
    assert [json.loads(line)["source"] for line in objects] == [str(path) for path in pictures]
    table = tmp_path / "rows.csv"
    job = command(locale, "edge", "run", tiny_model, "--source", odd / "validation", "--csv", table)
    assert job.returncode == 0, job.stderr
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row["source"] for row in csv.DictReader(file)]
    assert rows == [str(path).encode(errors="backslashreplace").decode() for path in pictures]


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES if os.environ.get("FROSTLITE_SLOW") else LOCALES[:1])  # half a minute each
def test_train_and_convert_take_any_name(locale: dict[str, str], odd: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained = command(locale, "train", "--data", odd, "--out", run, "--size", 96, "--epochs", 4)
    assert trained.returncode == 0, trained.stderr
    split = json.loads((run / "split.json").read_bytes())
    found = {str(Path(odd, name)) for name in split["validation"][LABELS[0]]}
    assert found == {str(path) for path in (odd / "validation" / LABELS[0]).iterdir()}
    converted = command(locale, "convert", run, "--calibration", 10, "--accept", "undecided")
    assert converted.returncode == 0, converted.stderr
    assert (run / "export" / "best.tflite").is_file()


@pytest.mark.parametrize("locale", LOCALES)
def test_errors_name_odd_files_in_one_line(locale: dict[str, str], tiny_model: Path, tmp_path: Path) -> None:
    for name in (b"caf\xe9\n.png", "M\u00f6we.png".encode()):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_bytes(b"no picture")
        job = command(locale, "edge", "classify", tiny_model, path)
        assert job.returncode == 2
        assert len(job.stderr.decode().splitlines()) == 1
        assert b"expected a JPEG" in job.stderr


@pytest.mark.parametrize("option", ["--source", "--record"])
def test_a_video_with_a_name_that_opencv_dies_of_is_refused(
    option: str, odd: Path, tiny_model: Path, tmp_path: Path
) -> None:
    video = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.avi"))
    video.write_bytes(b"no video" * 9)
    words = ["--source", video] if option == "--source" else ["--source", odd / "validation", "--record", video]
    job = command({"LC_ALL": "C.UTF-8"}, "edge", "run", tiny_model, *words)
    assert job.returncode == 2, job.stderr
    assert b"expected a name in UTF-8" in job.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("M\u00f6we", "M\u00f6we"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),  # a joiner of Persian
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202e", "\\u202e"),  # would turn the rest of the line around
        ("\udce9", "\\udce9"),  # a byte that is no UTF-8
        ("\u2028", "\\u2028"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert (one_line(text), printable(text)) == (shown, text == shown)
