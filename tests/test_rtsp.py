"""A network camera over RTSP, against a real server (GStreamer's), that asks for a password, dies and comes back."""

import json
import os
import signal
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from device import edge, free_port, process, wait_for

SYSTEM_PYTHON = "/usr/bin/python3"  # has GStreamer where Debian's python3-gi and gir1.2-gst-rtsp-server-1.0 are
SERVER = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer as Rtsp
Gst.init(None)
if not Gst.ElementFactory.find("x264enc"):
    sys.exit("no x264enc")
factory = Rtsp.RTSPMediaFactory(shared=True)
factory.set_launch("( videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=30/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 pt=96 )")
permissions = Rtsp.RTSPPermissions()
for right in ("access", "construct"):
    permissions.add_permission_for_role("user", f"media.factory.{right}", True)
factory.set_permissions(permissions)
token = Rtsp.RTSPToken()
token.set_string("media.factory.role", "user")
door = Rtsp.RTSPAuth()
door.add_basic(Rtsp.RTSPAuth.make_basic("bob", "s3cret"), token)
server = Rtsp.RTSPServer(service=sys.argv[1], address="127.0.0.1")
server.set_auth(door)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


def serve(port: int) -> AbstractContextManager[subprocess.Popen]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    return process(SYSTEM_PYTHON, "-c", SERVER, port, **pipes)


def ready(server: subprocess.Popen) -> bool:
    assert server.stdout is not None
    return server.stdout.readline() == "ready\n"


def has_gstreamer() -> bool:
    if not Path(SYSTEM_PYTHON).exists():
        return False
    with serve(free_port()) as server:
        return ready(server)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="takes half a minute; FROSTLITE_SLOW=1 runs it")
def test_an_rtsp_camera_dies_and_comes_back(tiny_model: Path, tmp_path: Path) -> None:
    if not has_gstreamer():
        pytest.skip("GStreamer's RTSP server for the system's Python is not installed")
    port, out = free_port(), tmp_path / "out.jsonl"
    address = f"rtsp://bob:s3cret@127.0.0.1:{port}/cam"

    def lines() -> int:
        return out.read_text().count("\n")

    with out.open("w") as file, serve(port) as first:
        assert ready(first)
        with edge("run", tiny_model, "--source", address, "--json", stdout=file) as job:
            wait_for(lambda: lines() > 30, 30)
            first.kill()
            time.sleep(2)
            before = lines()
            assert job.poll() is None
            with serve(port) as second:
                assert ready(second)
                wait_for(lambda: lines() > before + 30, 40)
                second.send_signal(signal.SIGSTOP)  # silent, but the connection stands
                time.sleep(8)
                before = lines()
                second.send_signal(signal.SIGCONT)
                wait_for(lambda: lines() > before + 30, 40)
                job.send_signal(signal.SIGTERM)
                _, errors = job.communicate(timeout=20)
    assert job.returncode == 0, errors
    shown = errors + out.read_text()
    assert "s3cret" not in shown
    assert "bob" not in shown
    assert errors.count("found again") == errors.count("lost; opening it again") == 2
    assert {json.loads(line)["label"] for line in out.read_text().splitlines()} == {"red"}


def test_a_wrong_password_is_one_line(tiny_model: Path) -> None:
    if not has_gstreamer():
        pytest.skip("GStreamer's RTSP server for the system's Python is not installed")
    port = free_port()
    with serve(port) as server:
        assert ready(server)
        with edge("run", tiny_model, "--source", f"rtsp://bob:wr0ng@127.0.0.1:{port}/cam") as job:
            _, errors = job.communicate(timeout=30)
    assert job.returncode == 2
    assert errors.startswith(f"error: --source: rtsp://127.0.0.1:{port}: ")
    assert len(errors.splitlines()) == 1
