"""README and docs/ promise commands: each is known here, and is run, by its like, in a test, or expanded by make."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

# What a command of the pages looks like, and what stands for it: "make" and "make -n" have make expand it (the demo,
# which is train, convert and edge in one, is run for real below), anything else names the test file that runs its like.
COMMANDS: tuple[tuple[str, str], ...] = (
    (r"make demo( DATA=horses-or-humans)?$", "make"),
    (r"make train convert DATA=photos$", "make"),
    (r"make (train|convert)\b.*$", "make -n"),
    (r"make (live|bench|bench-peers|exercise|dropout-study)\b.*$", "make -n"),
    (r"make (bundle|deploy|pi-status|pi-logs|pi-bench)\b.*$", "test_pi_deploy.py"),
    (r"(sudo )?make test-pi\b.*$", "pi/arm.py"),
    (r"make( test| lint| setup)?$", "make -n"),
    (r"(\.venv/bin/)?python -m train .*$", "test_train.py"),
    (r"python -m convert .*$", "test_convert.py"),
    (r"python -m edge teach .*$", "test_teach.py"),
    (r"make (doctor|backbone|pictures)\b.*$", "make -n"),
    (r"\.venv/bin/python -m pytest -q tests/test_likeness\.py$", "test_likeness.py"),
    (r"python -m edge (run|classify|info|collect|bench)\b.*$", "test_edge.py"),
    (r"git clone .*$", "make -n"),
    (r"ssh(-copy-id)? .*$", "test_pi_deploy.py"),
    (r"(pipx install ansible-core|ansible-playbook .*)$", "test_pi_fleet.py"),
    (r"python -m tests\.bench\..*$", "bench"),
)


def readme_commands() -> list[str]:
    """Every indented or fenced line of the pages that is a command, without its comment and prompt."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    fenced = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.M | re.S)
    lines = [line for block in fenced for line in block.splitlines()]
    lines += [line[4:] for line in text.splitlines() if re.match(r" {4}\S", line)]
    known = re.compile(r"(sudo )?(make|(\.venv/bin/)?python|git|ssh|ssh-copy-id|pipx|ansible-playbook|pip)\b")
    return [re.sub(r"\s+#.*", "", line).strip() for line in lines if known.match(line)]


@pytest.mark.parametrize("command", readme_commands())
def test_every_command_is_run_by_a_test(command: str) -> None:
    runner = next((runner for pattern, runner in COMMANDS if re.match(pattern, command)), None)
    assert runner, f"no test runs {command!r}"
    if runner.startswith("make"):
        if command.startswith("make"):
            expanded = subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True)
            assert expanded.returncode == 0, expanded.stderr
    else:
        assert (ROOT / "tests" / runner).exists()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is as after a clone, with the environment of this test."""
    root = tmp_path_factory.mktemp("clone") / "frostlite"
    root.mkdir()
    for name in (
        "train",
        "convert",
        "edge",
        "frostlite.py",
        "Makefile",
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
    ):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, root / name)
    (root / ".venv").symlink_to(ROOT / ".venv")
    return root


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


KEPT = "PATH", "HOME", "LANG", "TMPDIR"


def make(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`make`, with the environment taken as set up already; the make that may run this test hands nothing down."""
    ready, handed = ["-o", ".venv/setup", "-o", ".venv/dev"], r"MAKE.*|MFLAGS|[A-Z]+"
    kept = {name: value for name, value in os.environ.items() if name in KEPT or not re.fullmatch(handed, name)}
    return subprocess.run(["make", *ready, *words], cwd=project, env=kept, capture_output=True, text=True, timeout=400)


def test_make_alone_prints_the_targets(project: Path) -> None:
    printed = make(project).stdout
    for target in [
        "demo",
        "setup",
        "train",
        "convert",
        "live",
        "bench",
        "bundle",
        "deploy",
        "test",
        "test-pi",
        "lint",
        "clean",
    ]:
        assert re.search(rf"^  make {target} ", printed, re.M), target


@pytest.mark.parametrize(
    ("data", "run"),
    [
        ("photos", "runs/photos"),
        ("My Photos", "runs/My Photos"),
        ("/srv/a b/Mum's Photos/", "runs/Mum's Photos"),
        ("x, y (1) & z", "runs/x, y (1) & z"),
    ],
)
def test_paths_may_have_spaces(data: str, run: str, project: Path) -> None:
    # Instead of Python, a program that prints its arguments, one a line.
    told = make(
        project, "train", "convert", "live", "bundle", f"DATA={data}", f"PICTURES={data}", "PY=printf '%s\\n'"
    ).stdout
    words = told.splitlines()
    assert words[words.index("--data") + 1] == data
    assert words[words.index("--out") + 1] == words[words.index("convert") + 1] == run
    assert words[words.index("run") + 1] == f"{run}/export/best.tflite"
    assert words[words.index("--pictures") + 1] == data


@pytest.mark.slow
def test_demo_ends_with_something_to_look_at(project: Path, colours: Path) -> None:
    job = make(project, "demo", f"DATA={colours}", "RUN=runs/colours")
    assert job.returncode == 0, job.stdout + job.stderr
    for name in ("demo.mp4", "demo.png", "curves.png", "export/best.tflite", "export/report.json"):
        assert (project / "runs/colours" / name).stat().st_size > 0
    assert re.search(r"int8 .*%", job.stdout)
    assert "make live" in job.stdout
