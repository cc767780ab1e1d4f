"""What is installed: every package, its data, and one command that leads to all others."""

from pathlib import Path

import pytest
from conftest import ROOT, run_module

import frostlite

tomllib = pytest.importorskip("tomllib")  # Python 3.11
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_installed() -> None:
    found = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in ROOT.glob("[cet]*/**/__init__.py")}
    found = {name for name in found if not name.startswith("tests")}
    assert found == set(SETTINGS["tool"]["setuptools"]["packages"])


def test_every_file_that_is_read_at_run_time_is_installed() -> None:
    """All that is no code, but for what a clone alone needs: the parts for a Pi, and the examples."""
    data = SETTINGS["tool"]["setuptools"]["package-data"]
    installed = {path for name, patterns in data.items() for pattern in patterns for path in _matching(name, pattern)}
    for room in ("train", "convert", "edge"):
        for path in (ROOT / room).rglob("*"):
            alone = {"pi", "examples", "__pycache__"} & set(path.parts)
            if path.is_file() and path.suffix != ".py" and not alone:
                assert path in installed, path


def _matching(package: str, pattern: str) -> list[Path]:
    return list((ROOT / package.replace(".", "/")).glob(pattern))


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--help"], 0, "frostlite demo"),
        ([], 0, "frostlite demo"),
        (["classify", "nothing.tflite", "a.jpg"], 2, "nothing.tflite: expected a .tflite model, found nothing"),
        (["run", "--help"], 0, "--source"),
        (["train", "--help"], 0, "--backbone"),
        (["convert", "nothing"], 2, "nothing: expected a run directory"),
        (["fly"], 2, "expected demo, train, convert"),
        (["demo", "--data", "nothing"], 2, "nothing"),
    ],
)
def test_one_command_leads_to_all_others(words: list[str], status: int, told: str) -> None:
    job = run_module("frostlite", *words)
    assert job.returncode == status, job.stderr
    assert told in job.stdout + job.stderr
    assert "Traceback" not in job.stderr


def test_the_command_is_installed() -> None:
    assert SETTINGS["project"]["scripts"] == {"frostlite": "frostlite:main"}
    assert callable(frostlite.main)
