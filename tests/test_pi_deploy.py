"""One command to a Pi: deploy, deploy again, a spoiled update, a good one, rollback; over a real sshd.

The far end is this machine: what a Pi has besides (systemd as its first process, a camera) is not here.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from convert.bundle import bundle, choose_pictures
from edge.model.contract import append_files, read_model
from tests.pi.ssh import Server, sshd

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sshd(tmp_path_factory.mktemp("ssh") / "pi", "pi") as server:
        yield server


@pytest.fixture(scope="module")
def bundles(colour_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle, a spoiled one (another model than the one that its self-test was measured with), and an update."""
    out = tmp_path_factory.mktemp("dist")
    exported = colour_run / "export"
    pictures = choose_pictures(exported / "int8.tflite", None)
    good = bundle(exported / "int8.tflite", pictures, out / "good")
    update = bundle(exported / "float32.tflite", pictures, out / "update")

    tree = out / "tree"
    shutil.unpack_archive(good, tree, filter="data")
    folder = tree / "frostlite-int8"
    file = read_model(folder / "model.tflite")
    assert file.spec
    labels = tuple(reversed(file.spec.labels))
    spoiled_spec = replace(file.spec, labels=labels)  # the same scores, each under another name
    (folder / "model.tflite").write_bytes(append_files(file.graph, spoiled_spec))
    (folder / "VERSION").write_text("int8-spoiled\n")
    spoiled = out / "spoiled" / "frostlite-int8.tar.gz"
    spoiled.parent.mkdir()
    subprocess.run(["tar", "czf", spoiled, "-C", tree, "frostlite-int8"], check=True)
    return {"good": good, "update": update, "spoiled": spoiled}


def deploy(pi: Server, archive: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "edge/pi/deploy.sh", pi.name, archive],
        env={**pi.environment, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def tree(home: Path) -> dict[str, tuple[int, float]]:
    """Every file of an installation with its size and time of change; byte code is no part of it."""
    return {
        str(path.relative_to(home)): (path.lstat().st_size, path.lstat().st_mtime)
        for path in home.rglob("*")
        if "__pycache__" not in path.parts and not path.is_dir() and path.name != ".lock"
    }


def test_deploy_update_spoil_and_roll_back(pi: Server, bundles: dict[str, Path], tmp_path: Path):
    first = deploy(pi, bundles["good"])
    assert first.returncode == 0, first.stdout + first.stderr
    assert "installed: int8-" in first.stdout
    version = (pi.home / "current").readlink()

    # the program answers from the installed place
    answer = subprocess.run(
        ["ssh", pi.name, pi.home / "frostlite", "info", "--json"], env=pi.environment, capture_output=True
    )
    facts = json.loads(answer.stdout)
    assert facts["file"] == str(pi.home / "current" / "model.tflite")
    assert facts["labels"] == ["blue", "red"]

    # a second deploy of the same bundle changes nothing
    (pi.home / "frostlite.conf").write_text('FROSTLITE_OPTIONS="--source 2 --json"  # mine\n')
    before = tree(pi.home)
    again = deploy(pi, bundles["good"])
    assert again.returncode == 0, again.stderr
    assert "unchanged: int8-" in again.stdout
    assert "copying" not in again.stdout
    assert tree(pi.home) == before

    # an update with a spoiled model rolls back and says so
    spoiled = deploy(pi, bundles["spoiled"])
    assert spoiled.returncode == 2
    assert "int8-spoiled does not pass its self-test here; rolled back: int8-" in spoiled.stderr
    assert (pi.home / "current").readlink() == version
    assert not (pi.home / "versions" / "int8-spoiled").exists()

    # a good update keeps the previous version, the environment and the settings
    update = deploy(pi, bundles["update"])
    assert update.returncode == 0, update.stderr
    assert "installing packages" not in update.stdout
    assert (pi.home / "current").readlink() != version
    assert (pi.home / "previous").readlink() == version
    assert "mine" in (pi.home / "frostlite.conf").read_text()

    # and back by hand
    back = subprocess.run(
        ["ssh", pi.name, pi.home / "current" / "install.sh", "rollback"],
        env=pi.environment,
        capture_output=True,
        text=True,
    )
    assert back.returncode == 0, back.stderr
    assert (pi.home / "current").readlink() == version

    # nothing is left of the copying, and all goes away when told to
    assert not list(Path("/var/tmp").glob("frostlite-*/bundle.tar.gz"))
    gone = subprocess.run(
        ["ssh", pi.name, pi.home / "current" / "install.sh", "uninstall"],
        env=pi.environment,
        capture_output=True,
        text=True,
    )
    assert gone.returncode == 0, gone.stderr
    assert {path.name for path in pi.home.iterdir()} == {"frostlite.conf", ".lock"}


def test_the_name_of_a_bundle_is_no_command(pi: Server, bundles: dict[str, Path], tmp_path: Path):
    """Whatever the file is called, as after a download, and the folder in it: what is in it is installed."""
    names = ("my model;touch PWNED;$(touch PWNED)", "-x:y")
    for number, name in enumerate(names):
        folder = tmp_path / str(number) / name
        shutil.unpack_archive(bundles["good"], folder.parent, filter="data")
        (folder.parent / "frostlite-int8").rename(folder)
        (folder / "VERSION").write_text(f"int8-{number}\n")  # another version: it is copied; the packages stay
        archive = folder.parent / f"{name}.tar.gz"
        subprocess.run(["tar", "czf", "x.gz", "--", name], cwd=folder.parent, check=True)
        (folder.parent / "x.gz").rename(archive)
        job = deploy(pi, archive)
        assert job.returncode == 0, job.stderr
        assert (pi.home / "current").readlink().name == f"int8-{number}"
    places = (tmp_path, pi.home, Path.home(), ROOT)
    assert not any((place / "PWNED").exists() for place in places)
    assert not list(Path("/var/tmp").glob("frostlite-*"))
    subprocess.run(["ssh", pi.name, pi.home / "current" / "install.sh", "uninstall"], env=pi.environment, check=True)


def test_a_shell_that_talks_deletes_nothing(bundles: dict[str, Path], tmp_path: Path):
    """What the far end says is the upload's folder becomes part of `rm -rf`: a greeting is none."""
    noted = tmp_path / "noted"
    (tmp_path / "ssh").write_text(f'#!/bin/sh\necho "$*" >>{noted}\necho "Welcome to / of $2"\n')
    (tmp_path / "ssh").chmod(0o755)
    job = subprocess.run(
        [ROOT / "edge/pi/deploy.sh", "pi", bundles["good"]],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert job.returncode == 2
    assert "expected a folder for the upload" in job.stderr
    assert "rm" not in noted.read_text().split()


@pytest.mark.parametrize("target", ["pi-status", "pi-logs", "pi-bench"])
@pytest.mark.parametrize("name", ["-oProxyCommand=touch PWNED", "", "x;touch PWNED;"])
def test_a_pi_is_a_name_and_no_option(target: str, name: str, tmp_path: Path):
    """What ssh is given is the name, behind --; here by an ssh that notes its arguments."""
    (tmp_path / "ssh").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$NOTED"\nexit 1\n')
    (tmp_path / "ssh").chmod(0o755)
    path, noted = f"{tmp_path}:{os.environ['PATH']}", tmp_path / "noted"
    command = ["make", "-o", ".venv/setup", "-f", ROOT / "Makefile", target, f"PI={name}"]
    job = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PATH": path, "NOTED": str(noted)}, capture_output=True, text=True
    )
    assert job.returncode != 0
    assert not (tmp_path / "PWNED").exists()
    if name.startswith("x"):
        assert noted.read_text().splitlines()[:2] == ["--", name]
    else:
        assert "expected user@host" in job.stderr
        assert not noted.exists()


@pytest.mark.parametrize(
    ("environment", "asked", "answer", "message"),
    [
        ({"RUNTIME": "onnx"}, "nothing", "", "onnx, Python 3"),  # no such runtime
        ({"FROSTLITE_HOME": "/proc/nowhere"}, "nothing", "", "expected a folder that can be written"),
        ({}, "ensurepip", "exit 1", "sudo apt install -y python3-venv"),  # Debian without that package
        ({}, "version_info", "echo 3.9; exit", "Python 3.9 on"),  # Debian 11
    ],
)
def test_what_is_missing_is_one_line(
    bundles: dict[str, Path], tmp_path: Path, environment: dict[str, str], asked: str, answer: str, message: str
):
    """The machine's own Python, but for one question that install.sh asks it."""
    shutil.unpack_archive(bundles["good"], tmp_path, filter="data")
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\ncase "$*" in *{asked}*) {answer or ":"} ;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    path = f"{python.parent}:{os.environ['PATH']}"
    job = subprocess.run(
        [tmp_path / "frostlite-int8" / "install.sh"],
        env={**os.environ, "PATH": path, "FROSTLITE_HOME": str(tmp_path / "home"), **environment},
        capture_output=True,
        text=True,
    )
    assert job.returncode == 2
    assert job.stderr.startswith("error: ")
    assert message in job.stderr
    assert not (tmp_path / "home" / "versions").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-oProxyCommand=touch /tmp/x", "x.tar.gz"], "expected user@host"),  # an option is no host
        (["nowhere.invalid", "missing.tar.gz"], "expected a bundle"),
        (["nowhere.invalid", str(ROOT / "README.md")], "a file without VERSION"),
    ],
)
def test_deploy_checks_its_arguments(arguments: list[str], message: str):
    job = subprocess.run([ROOT / "edge/pi/deploy.sh", *arguments], capture_output=True, text=True)
    assert job.returncode == 2
    assert message in job.stderr
