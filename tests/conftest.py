"""What several tests share: data made in seconds, and one small run through the whole tool."""

import io
import os
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
HORSES_OR_HUMANS = ROOT.parent / "shared" / "data" / "horse-or-human"


def run_module(*arguments: object, timeout: float = 300, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m …` as a user would."""
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, **options)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Job:
    """How a command ended, as `subprocess` would tell it."""

    returncode: int
    stdout: str
    stderr: str


def run_here(module: str, *arguments: object) -> Job:
    """`python -m …` within this process: without the seconds that every import of TensorFlow takes."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    try:
        sys.argv = [module, *map(str, arguments)]
        with redirect_stdout(out), redirect_stderr(err):
            runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        return Job(int(end.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.argv = before
    raise AssertionError("a command ends by sys.exit")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing of the user's cache is read or written by a test."""
    os.environ["FROSTLITE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def horses_or_humans() -> Path:
    if not HORSES_OR_HUMANS.is_dir():
        pytest.skip("the Horses-or-Humans data are not beside the project")
    return HORSES_OR_HUMANS


def colour_picture(label: str, number: int, side: int = 96) -> np.ndarray:
    """BGR uint8: a red or a blue disc on noise. Who mistakes BGR for RGB takes the one for the other."""
    random = np.random.default_rng([number, len(label)])
    picture = random.integers(90, 150, (side, side, 3), np.uint8)
    colour = {"blue": (230, 40, 20), "red": (20, 40, 230)}[label]
    centre = tuple(int(place) for place in random.integers(side // 3, 2 * side // 3, 2))
    cv2.circle(picture, centre, int(random.integers(side // 5, side // 3)), colour, cv2.FILLED)
    return picture


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos, 30 + 12 a class, told apart by the order of their colour channels alone."""
    root = tmp_path_factory.mktemp("data") / "colours"
    for split, count in (("train", 30), ("validation", 12)):
        for label in ("blue", "red"):
            (root / split / label).mkdir(parents=True)
            for number in range(count):
                picture = colour_picture(label, number + 1000 * (split == "train"))
                cv2.imwrite(str(root / split / label / f"{number:03}.png"), picture)
    return root


@pytest.fixture(scope="session")
def colour_run(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory, trained and converted by the command line, at 96 pixels to be quick."""
    run = tmp_path_factory.mktemp("runs") / "colours"
    trained = run_module("train", "--data", colours, "--out", run, "--size", 96)
    assert trained.returncode == 0, trained.stderr
    converted = run_module("convert", run, "--scheme", "int8", "--calibration", 20, "--accept", "undecided")
    assert converted.returncode == 0, converted.stderr
    return run


@pytest.fixture(scope="session")
def colour_model(colour_run: Path) -> Path:
    """The int8 file of `colour_run`."""
    return colour_run / "export" / "int8.tflite"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 32x32 pixels that was made by hand; see tests/device.py."""
    from device import make_tiny_model

    path = tmp_path_factory.mktemp("tiny") / "tiny.tflite"
    make_tiny_model(path)
    return path
