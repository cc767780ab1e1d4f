"""What the command lines share: numbers, errors of one line, and arguments that no list of processes shows."""

import argparse
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from conftest import ROOT, run_module
from device import flat

from edge.cli import number, run_command
from edge.options import parse_arguments

LONG = "x" * 5000


@pytest.mark.parametrize(
    ("kind", "text"),
    [(float, "inf"), (float, "-inf"), (float, "nan"), (float, "1e999"), (float, "-1"), (int, "1.5"), (int, "")],
)
def test_numbers_are_finite(kind: Callable[[str], float], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="of at least 0, found"):
        number(kind, 0)(text)
    assert number(kind, 0)("12") == 12
    assert number(int, 0)("1" + "0" * 400) == 10**400  # more than a float can hold


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        (lambda path: (path / "file" / "run").mkdir(), "error: Not a directory: {}/file/run"),
        (lambda path: (path / "none").read_bytes(), "error: No such file or directory: {}/none"),
        (lambda path: (path / LONG).touch(), "error: File name too long: {}/" + LONG),
        (lambda path: os.write(os.open("/dev/full", os.O_WRONLY), b"x"), "error: No space left on device"),
        (lambda path: exec("raise OSError('no frame')"), "error: no frame"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    fail: Callable[[Path], None], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as end:
        run_command(lambda: fail(tmp_path))
    assert end.value.code == 2
    assert capsys.readouterr().err == line.format(tmp_path) + "\n"


def test_output_to_a_full_disk(tiny_model: Path) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "edge", "info", tiny_model]
        job = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (job.returncode, job.stderr) == (2, f"error: {os.strerror(errno.ENOSPC)}\n")


@pytest.mark.parametrize(
    "arguments",
    [("info", LONG), ("run", "MODEL", "--source", LONG), ("run", "MODEL", "--source", "/" + LONG + "/*.jpg")],
)
def test_too_long_names_are_one_line(arguments: tuple[str, ...], tiny_model: Path) -> None:
    job = run_module("edge", *(tiny_model if word == "MODEL" else word for word in arguments))
    assert job.returncode == 2
    assert job.stderr.startswith("error: ")
    assert job.stderr.endswith("File name too long\n")
    assert job.stderr.count("\n") == 1


def test_a_run_takes_arguments_from_its_environment(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "my pictures").mkdir()
    cv2.imwrite(str(tmp_path / "my pictures" / "red.png"), flat(220, 20))
    environment = {**os.environ, "FROSTLITE_OPTIONS": f"--source '{tmp_path}/my pictures' --json"}
    job = run_module("edge", "run", tiny_model, env=environment)
    assert job.returncode == 0, job.stderr
    assert '"label": "red"' in job.stdout


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("--csv ~/rows.csv", "HOME/rows.csv"),
        ("--csv=~/rows.csv", "HOME/rows.csv"),
        ("--csv ~", "HOME"),
        ("--csv a~/b", "a~/b"),  # no home
        ("--csv ~bob/x", "~bob/x"),
    ],
)
def test_no_shell_has_seen_the_home_in_them(written: str, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROSTLITE_OPTIONS", written)
    monkeypatch.setenv("HOME", "/var/lib/frostlite")
    monkeypatch.setattr(sys, "argv", ["edge", "run", "m.tflite"])
    assert parse_arguments().csv == read.replace("HOME", "/var/lib/frostlite")


def test_nobody_else_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another command nor a child process: `--exec` runs what is not ours."""
    monkeypatch.setenv("FROSTLITE_OPTIONS", "--source rtsp://u:secret@cam/x")
    monkeypatch.setattr(sys, "argv", ["edge", "classify", "m.tflite", "a.jpg"])
    assert not hasattr(parse_arguments(), "source")
    monkeypatch.setattr(sys, "argv", ["edge", "run", "m.tflite", "--fps", "5"])
    options = parse_arguments()
    assert (options.source, options.fps) == ("rtsp://u:secret@cam/x", 5)
    assert "FROSTLITE_OPTIONS" not in os.environ


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ("--source 'x", "error: FROSTLITE_OPTIONS: "),  # an open quote
        ("--mqttt mqtt://bob:sec@ret@host", "error: unrecognized arguments: --mqttt mqtt://…; see "),  # a slip
    ],
)
def test_wrong_ones_are_one_line(
    options: str, start: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FROSTLITE_OPTIONS", options)
    monkeypatch.setattr(sys, "argv", ["edge", "run", "m.tflite"])
    with pytest.raises(SystemExit) as end:
        parse_arguments()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(start)
