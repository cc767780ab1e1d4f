"""What install.sh writes in which order: after a power cut nothing half-written says that it is whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The machine's own Python for questions; environments and what runs in them are of straw.
PYTHON = f"""#!/bin/sh
case "$1 $2" in
  "-m venv") mkdir -p "$4/bin" && printf '#!/bin/sh\\necho "$*" >>"$HOME/ran"\\n' >"$4/bin/python" && chmod 755 "$4/bin/python" ;;
  *) exec {sys.executable} "$@" ;;
esac
"""  # noqa: E501
# Notes what there is whenever it is called.
SYNC = """#!/bin/sh
for name in versions/.new versions/x-1 venvs/*/bin venvs/*/complete current; do
  for path in "$FROSTLITE_HOME"/$name; do [ -e "$path" ] && printf '%s ' "${name##*/}"; done
done >>"$HOME/synced"
echo >>"$HOME/synced"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("python3", PYTHON), ("sync", SYNC)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    home = str(tmp_path / "frostlite")
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "FROSTLITE_HOME": home}


def test_what_is_called_whole_is_on_disk(environment: dict[str, str], tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    (bundle / "requirements").mkdir(parents=True)
    for name in ("install.sh", "frostlite.service", "frostlite.conf"):
        (bundle / name).write_bytes((ROOT / "edge" / "pi" / name).read_bytes())
    (bundle / "VERSION").write_text("x-1\n")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for machine in ("x86_64", "aarch64", "armv7l"):
        (bundle / "requirements" / f"tflite-runtime-py{version}-{machine}.txt").write_text("opencv\n")
    job = subprocess.run(
        ["bash", bundle / "install.sh"],
        env={**environment, "RUNTIME": "tflite-runtime"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert job.returncode == 0, job.stderr
    assert "installed: x-1" in job.stdout
    assert "-m pip install" in (tmp_path / "ran").read_text()
    synced = [set(line.split()) for line in (tmp_path / "synced").read_text().splitlines()]
    assert synced == [
        {".new"},  # unpacked, and not yet of a version's name
        {"x-1", "bin"},  # packages installed, and not yet complete
        {"x-1", "bin", "complete"},  # all there, and not yet current
    ]
