"""The ribbon-cable camera, against a stand-in whose limits `tests/pi/standin/picamera2.py` states."""

import ast
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from edge.errors import UserError
from edge.sources.base import Mode
from edge.sources.cameras import Ribbon, list_sources


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "pi" / "standin"))
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    import picamera2

    yield picamera2
    sys.modules.pop("picamera2", None)


def test_frames_are_bgr_and_of_the_size_asked(picamera2: ModuleType):
    camera = Ribbon("picamera2", Mode(width=320, height=240, fps=15))
    assert camera.grab()
    frame = camera.retrieve()
    assert frame is not None
    assert frame.shape == (240, 320, 3)
    assert frame[0, 0].tolist() == [50, 100, 200]  # B, G, R of the scene, as OpenCV has them
    assert frame.flags.c_contiguous
    assert (camera.mode.width, camera.mode.height, camera.mode.fps) == (320, 240, 15)
    camera.close()
    assert picamera2.opened[-1].state == "closed"


def test_a_port_without_a_camera_is_one_line(picamera2: ModuleType):
    with pytest.raises(UserError, match="port 3, found none"):
        Ribbon("picamera2:3", Mode())


def test_a_hung_camera_fails_in_a_way_that_reopens_it(picamera2: ModuleType):
    camera = Ribbon("picamera2:0", Mode())
    picamera2.opened[-1].hung = True
    with pytest.raises(OSError, match="no frame"):
        camera.grab()
    camera.close()


def test_it_is_listed(picamera2: ModuleType):
    assert ("picamera2:0", "imx708") in [(found.source, found.name) for found in list_sources()]


def test_without_picamera2_the_apt_line_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(UserError, match="sudo apt install python3-picamera2"):
        Ribbon("picamera2", Mode())


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("FROSTLITE_SLOW") != "1", reason="downloads a package: set FROSTLITE_SLOW=1")
def test_the_stand_in_has_the_methods_and_parameters_of_picamera2(tmp_path: Path):
    """Against the source of the published package, which cannot be imported without libcamera."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", tmp_path, "picamera2==0.3.38"]
    subprocess.run(command, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        real = methods(files.read("picamera2/picamera2.py").decode())
    stand_in = methods((Path(__file__).parent / "pi" / "standin" / "picamera2.py").read_text())
    assert "capture_array" in stand_in
    for name, parameters in stand_in.items():
        assert [parameter for parameter in real[name] if parameter in parameters] == parameters, name


def methods(source: str) -> dict[str, list[str]]:
    """The methods of the class Picamera2 with the names of their parameters, in order."""
    (body,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "Picamera2")
    functions = [node for node in body.body if isinstance(node, ast.FunctionDef)]
    return {function.name: [argument.arg for argument in function.args.args] for function in functions}
