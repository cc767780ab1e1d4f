"""Windows and their keys, on a real (virtual) screen: Xvfb shows it, xdotool presses the keys."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import pytest
from device import edge, process, wait_for

PYTHON = os.environ.get("FROSTLITE_DESKTOP_PYTHON")  # one whose OpenCV can open windows, if this one's cannot
BUILT = re.search(r"^ *GUI: +(?!NONE)\S+", cv2.getBuildInformation(), re.MULTILINE) is not None
MISSING = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {' and '.join(MISSING)}"),
    pytest.mark.skipif(not (BUILT or PYTHON), reason="this OpenCV has no windows, and no FROSTLITE_DESKTOP_PYTHON"),
]


@pytest.fixture
def screen() -> Iterator[dict[str, str]]:
    """The environment of programs that show themselves on a screen of their own."""
    reader, writer = os.pipe()
    server = ("Xvfb", "-displayfd", writer, "-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset")
    with process(*server, pass_fds=(writer,), stderr=subprocess.DEVNULL) as xvfb:
        with os.fdopen(reader) as told:  # open to the end: it would die of a closed pipe
            os.close(writer)
            number = told.readline().strip()
            yield {**os.environ, "DISPLAY": f":{number}"}
        xvfb.terminate()  # so that it takes its socket away
        xvfb.wait(10)


def run_edge(screen: dict[str, str], *arguments: object, **options: object) -> AbstractContextManager[subprocess.Popen]:
    if PYTHON:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return process(PYTHON, "-m", "edge", *arguments, env=screen, **{**pipes, **options})
    return edge(*arguments, env=screen, **options)


def press(job: subprocess.Popen, screen: dict[str, str], key: str) -> None:
    find = ["xdotool", "search", "--name", "FrostLite"]
    there = lambda: subprocess.run(find, env=screen, capture_output=True).returncode == 0  # noqa: E731
    wait_for(lambda: there() or job.poll() is not None, 30)
    assert job.poll() is None, job.stderr.read() if job.stderr else ""
    window = subprocess.run(find, env=screen, capture_output=True, text=True).stdout.split()[-1]
    # Without a window manager the keys go where the pointer is.
    subprocess.run(["xdotool", "mousemove", "--window", window, "20", "20", "key", key], env=screen, check=True)


def test_collect_saves_a_frame_for_each_key(screen: dict[str, str], tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    arguments = ("--label", "cat", "--source", "test:", "--out", photos, "--window")
    with run_edge(screen, "collect", *arguments, stdin=subprocess.DEVNULL) as job:
        for number, key in enumerate(("space", "Return", "space"), 1):
            press(job, screen, "x")  # does nothing
            press(job, screen, key)
            wait_for(lambda number=number: len(list(photos.glob("cat/[0-9]*.jpg"))) == number)
        press(job, screen, "q")
        printed, errors = job.communicate(timeout=20)
    assert job.returncode == 0, errors
    assert printed.count(".jpg") == 3
    assert "cat 3" in errors
    assert "Traceback" not in errors


def test_q_ends_a_run(screen: dict[str, str], tiny_model: Path) -> None:
    with run_edge(screen, "run", tiny_model, "--source", "test:", "--window", "--json") as job:
        press(job, screen, "q")
        _, errors = job.communicate(timeout=20)
    assert job.returncode == 0, errors
    assert "frames in" in errors


def test_a_display_that_is_not_there_is_one_line(tiny_model: Path, tmp_path: Path) -> None:
    """Qt would end the process."""
    nowhere = {**os.environ, "DISPLAY": ":4711"}
    with run_edge(nowhere, "run", tiny_model, "--source", "test:", "--window") as job:
        _, errors = job.communicate(timeout=30)
    assert job.returncode == 2, errors
    assert [line[:17] for line in errors.splitlines() if "640x480" not in line] == ["error: --window: "]
