"""What is installed: every package, its data, and one command that leads to all others."""

import os
import subprocess
import sys
import sysconfig
import venv
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


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="takes minutes; FROSTLITE_SLOW=1 runs it")
def test_the_wheel_alone_runs_the_demo(tmp_path: Path) -> None:
    """In an environment of its own, which shares the packages of this one but not the checkout."""

    def run(*words: object) -> str:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        job = subprocess.run(list(map(str, words)), cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=600)
        assert job.returncode == 0, job.stdout + job.stderr
        return job.stdout

    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel)
    shared = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_path("purelib")]
    (site / "shared.pth").write_text("\n".join(shared))
    assert run(python, "-c", "import train; print(train.__file__)").startswith(str(site))
    run(python.with_name("frostlite"), "demo")
    for name in ("report.html", "demo.mp4", "demo.png", "export/best.tflite", "export/report.html"):
        assert (tmp_path / "runs" / "sample" / name).stat().st_size > 0
