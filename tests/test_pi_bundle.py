"""The bundle: its bytes, its pins, its self-test, and the watchdog of the service it brings."""

import importlib.metadata
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from packaging.requirements import Requirement

from convert.bundle import OTHERS, PI, bundle, choose_pictures, pins
from edge.errors import UserError
from edge.model.contract import append_files, read_model
from edge.selftest import TOLERANCE, selftest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def archive(colour_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = colour_run / "export" / "int8.tflite"
    return bundle(model, choose_pictures(model, None), tmp_path_factory.mktemp("dist"))


@pytest.fixture
def unpacked(archive: Path, tmp_path: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / "frostlite-int8"


def test_the_same_input_gives_the_same_bytes(archive: Path, colour_model: Path, colour_run: Path, tmp_path: Path):
    moved = tmp_path / "elsewhere" / "int8.tflite"  # another path, another time of change
    moved.parent.mkdir()
    shutil.copyfile(colour_model, moved)
    os.utime(moved, (1, 1))
    again = bundle(moved, choose_pictures(colour_model, None), tmp_path / "dist")
    assert again.read_bytes() == archive.read_bytes()
    assert archive.stat().st_size < 10e6


def test_its_members_carry_nothing_of_this_machine(archive: Path):
    with tarfile.open(archive) as tar:
        entries = tar.getmembers()
    names = [entry.name for entry in entries]
    assert names == sorted(names)
    assert {(e.uid, e.gid, e.uname, e.gname, e.mtime, e.isfile()) for e in entries} == {(0, 0, "", "", 1, True)}
    assert {entry.name for entry in entries if entry.mode & 0o111} == {"frostlite-int8/install.sh"}
    tops = {name.split("/")[1] for name in names}
    assert tops == {
        *("LICENSE", "README.md", "VERSION", "edge", "frostlite.conf", "frostlite.service"),
        *("install.sh", "model.tflite", "requirements", "selftest"),
    }


@pytest.mark.parametrize("platform", [*PI, *OTHERS], ids=lambda platform: platform.name)
def test_pins_are_closed(platform):
    """pip installs them with --no-deps, so nothing that their own metadata ask for may be missing."""
    chosen = {Requirement(pin).name for pin in pins(platform)}
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", pin) for pin in pins(platform))
    from_system = {"numpy"} if platform.machine == "armv7l" else set()
    for name in chosen:
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed here")
        for text in needed:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({**platform.markers, "extra": ""}):
                assert requirement.name.lower().replace("_", "-").replace(".", "-") in chosen | from_system, name


def test_selftest_here(unpacked: Path):
    found = selftest(unpacked)
    assert found.failures == ()
    assert found.pictures == found.identical == found.tensors > 4
    for scores in json.loads((unpacked / "selftest" / "expected.json").read_bytes())["scores"].values():
        assert np.array_equal(scores, np.float32(scores))  # to the last digit


def respec(folder: Path, **changes: object) -> None:
    file = read_model(folder / "model.tflite")
    assert file.spec
    (folder / "model.tflite").write_bytes(append_files(file.graph, replace(file.spec, **changes)))  # type: ignore[arg-type]


def with_other_mean(folder: Path) -> None:
    respec(folder, mean=(60.0, 127.0, 127.0))


def with_red_and_blue_exchanged(folder: Path) -> None:
    for path in (folder / "selftest").glob("*.png"):
        cv2.imwrite(str(path), np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1]))


def with_other_scores(folder: Path) -> None:
    path = folder / "selftest" / "expected.json"
    expected = json.loads(path.read_text())
    for scores in expected["scores"].values():
        scores[0] = [score + 2 * TOLERANCE for score in scores[0]]
    path.write_text(json.dumps(expected))


@pytest.mark.parametrize("spoil", [with_other_mean, with_red_and_blue_exchanged, with_other_scores])
def test_selftest_notices(unpacked: Path, spoil):
    spoil(unpacked)
    assert selftest(unpacked).failures


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("selftest/expected.json", None, "no such file"),
        ("selftest/expected.json", b"[1", "damaged"),
        ("selftest/expected.json", b"{}", "damaged"),
        ("selftest/expected.json", b'{"pictures": [], "scores": {}, "tensors": []}', "expected scores"),
        ("selftest/0.png", None, "(?i)no such file"),  # a picture
        ("model.tflite", None, "found nothing"),
        ("model.tflite", b"PK" * 9, "expected a zip with one TFLite model"),
        ("model.tflite", b"TFL3" * 9, "damaged"),
    ],
)
def test_selftest_of_a_damaged_bundle_is_one_line(unpacked: Path, name: str, content: bytes | None, message: str):
    if content is None:
        (unpacked / name).unlink()
    else:
        (unpacked / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        selftest(unpacked)
    assert "\n" not in str(error.value)


def test_a_model_outside_of_a_run_asks_for_pictures(colour_model: Path, tmp_path: Path):
    model = tmp_path / "a" / "b" / "m.tflite"
    model.parent.mkdir(parents=True)
    shutil.copyfile(colour_model, model)
    with pytest.raises(UserError, match="--pictures"):
        choose_pictures(model, None)
    with pytest.raises(UserError, match="found none"):
        choose_pictures(model, tmp_path)


def test_wheels_are_of_their_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What is in the cache is chosen by its tags; names as the index writes them."""
    from convert.bundle import _wheel

    for name in (
        "numpy-1.26.4-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
        "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "numpy-1.26.4-cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
        "opencv_python_headless-4.11.0.86-cp37-abi3-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
        "tqdm-4.70.1-py3-none-any.whl",
        "tflite_runtime-2.14.0-cp311-cp311-manylinux_2_34_armv7l.whl",
        "future-1.0-cp311-cp311-manylinux_2_99_aarch64.whl",
    ):
        (tmp_path / name).touch()
    arm64, arm32 = PI[0], PI[3]
    table = [  # pin, platform, what is taken
        ("numpy==1.26.4", arm64, "numpy-1.26.4-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl"),
        ("numpy==1.26.5", arm64, None),
        ("numpy==1.26.4", arm32, None),
        ("opencv-python-headless==4.11.0.86", arm64, "opencv_python_headless-4.11.0.86-cp37-abi3-manylinux_2_17_aar"),
        ("tqdm==4.70.1", arm32, "tqdm-4.70.1-py3-none-any.whl"),
        ("tflite-runtime==2.14.0", arm32, "tflite_runtime-2.14.0-cp311-cp311-manylinux_2_34_armv7l.whl"),
        ("tflite-runtime==2.14.0", arm64, None),
        ("future==1.0", arm64, None),  # needs a newer glibc than Debian 12 has
    ]
    for pin, platform, expected in table:
        found = _wheel(tmp_path, pin, platform)
        assert (found is None) if expected is None else found.name.startswith(expected), pin


@pytest.mark.parametrize("abstract", [False, True])
def test_watchdog_is_fed_by_frames(unpacked: Path, tmp_path: Path, abstract: bool):
    """A real notification socket, as systemd makes it: READY with the first frame, STOPPING at the end."""
    address = f"@frostlite-{os.getpid()}" if abstract else str(tmp_path / "notify")
    received = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + address[1:] if abstract else address)
        server.settimeout(60)

        def listen() -> None:
            while not received or received[-1] != "STOPPING=1":
                received.append(server.recv(4096).decode())

        listener = threading.Thread(target=listen)
        listener.start()
        job = subprocess.run(
            [sys.executable, "-m", "edge", "run", "model.tflite", "--source", "selftest"],
            cwd=unpacked,
            env={**os.environ, "NOTIFY_SOCKET": address},
            capture_output=True,
            text=True,
            timeout=60,
        )
        listener.join()
    assert job.returncode == 0, job.stderr
    assert "READY=1" in received[0].split("\n")
    assert "WATCHDOG=1" in received[0].split("\n")
    assert re.search(r"^STATUS=(red|blue|unknown) \d+%", received[0], re.MULTILINE)
    assert sum("READY=1" in text for text in received) == 1
    assert len(received) < 8, "eight frames in a moment are not eight messages"
    changes = job.stdout.splitlines()
    assert changes
    assert all(re.fullmatch(r"(red|blue|unknown) \d+% \(before: .*\)", line) for line in changes), changes


def test_without_a_service_manager_there_is_no_watchdog(monkeypatch: pytest.MonkeyPatch):
    from edge.sinks.watchdog import Watchdog, watchdogs

    for value in ("", "relative/path", "vsock:2:1"):
        monkeypatch.setenv("NOTIFY_SOCKET", value)
        assert watchdogs() == []
    # and one whose manager is gone says nothing and stops nothing
    gone = Watchdog("/nonexistent/socket")
    gone.close()


def test_archive_of_other_content_has_another_version(archive: Path, colour_run: Path, tmp_path: Path):
    def version(path: Path) -> str:
        with tarfile.open(path) as tar:
            folder = path.name.removesuffix(".tar.gz")
            file = tar.extractfile(f"{folder}/VERSION")
            assert isinstance(file, io.BufferedReader)
            return file.read().decode().strip()

    model = colour_run / "export" / "float32.tflite"
    other = bundle(model, choose_pictures(model, None), tmp_path)
    assert re.fullmatch(r"int8-[0-9a-f]{12}", version(archive))
    assert version(other).startswith("float32-")
    assert version(other)[-12:] != version(archive)[-12:]
