"""The ribbon-cable camera, against a stand-in whose limits `tests/pi/standin/picamera2.py` states."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from edge.cameras import Ribbon, list_sources
from edge.errors import UserError
from edge.sources import Mode


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "pi" / "standin"))
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    import picamera2

    yield picamera2
    sys.modules.pop("picamera2", None)


def test_frames_are_bgr_and_of_the_size_asked(picamera2: ModuleType):
    camera = Ribbon("picamera2", Mode(width=320, height=240, fps=15))
    frame = camera.read()
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
        camera.read()
    camera.close()


def test_it_is_listed(picamera2: ModuleType):
    assert ("picamera2:0", "imx708") in [(found.source, found.name) for found in list_sources()]


def test_without_picamera2_the_apt_line_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(UserError, match="sudo apt install python3-picamera2"):
        Ribbon("picamera2", Mode())
