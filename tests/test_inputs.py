"""docs/inputs.md says how bad input is refused: each row of its table is made here, and the answer compared."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, colour_picture, run_here

PAGE = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8").partition("## What is refused")[2]
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]
ANSWERS = {given: answer.strip("`") for given, answer in ROWS[1:]}


def photos(root: Path, *folders: str, count: int = 1) -> Path:
    for place, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / folder / f"{number}.png"), colour_picture("red", 10 * place + number))
    return root


def half(path: Path, data: bytes) -> Path:
    path.write_bytes(data[: len(data) // 2])
    return path


def jpeg() -> bytes:
    return cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8))[1].tobytes()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


Words = Callable[[Path, Path], list[object]]  # of an empty folder and a model


def train(make: Callable[[Path], Path]) -> Words:
    return lambda here, model: ["train", "--data", make(here), "--out", here / "run"]


def classify(make: Callable[[Path], Path]) -> Words:
    return lambda here, model: ["edge", "classify", model, make(here)]


def run(source: str) -> Words:
    return lambda here, model: ["edge", "run", model, "--source", source]


CASES: dict[str, Words] = {
    "`--data` that is not there": train(lambda here: here / "nothing"),
    "an archive as `--data`": train(lambda here: written(here / "photos.zip", b"PK")),
    "a folder without classes": train(lambda here: here),
    "one class": train(lambda here: photos(here, "cat")),
    "`train/` beside a class": train(lambda here: photos(here, "train/cat", "train/dog", "bird")),
    "two pictures in a class": train(lambda here: photos(here, "cat", "dog", count=2)),
    "a text file named `.jpg`": classify(lambda here: written(here / "text.jpg", b"hello")),
    "half a JPEG": classify(lambda here: half(here / "cut.jpg", jpeg())),
    "a HEIC photo": classify(lambda here: written(here / "phone.heic", b"\0\0\0\x18ftypheic")),
    "a model that is not there": lambda here, model: ["edge", "info", here / "nothing.tflite"],
    "half a model": lambda here, model: ["edge", "info", half(here / "half.tflite", model.read_bytes())],
    "a camera that is not there": run("97"),
    "`--source ftp://host/x`": run("ftp://host/x"),
    "`--source clip.mp4`, not there": run("clip.mp4"),
    "a folder that is no run": lambda here, model: ["convert", here],
}


def test_every_row_of_the_page_is_made_here() -> None:
    assert ANSWERS.keys() == CASES.keys()


@pytest.mark.parametrize("given", CASES)
def test_the_page_says_how_it_is_refused(given: str, tiny_model: Path, tmp_path: Path) -> None:
    module, *words = CASES[given](tmp_path, tiny_model)
    job = run_here(str(module), *words)
    assert job.returncode == 2
    assert ANSWERS[given] in job.stderr.replace("`", "")
    assert len([line for line in job.stderr.splitlines() if line.startswith("error: ")]) == 1
