"""Sources: the grammar, live ones that keep only the newest frame, and cameras that die and return."""

import itertools
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from argparse import ArgumentTypeError
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, run_module
from device import edge, flat, free_port, wait_for

from edge import Classifier
from edge.errors import UserError
from edge.live import run
from edge.sinks.base import Ended, Moment, Sink
from edge.sources import cameras, live
from edge.sources.base import Mode, shown
from edge.sources.network import Stream
from edge.sources.pattern import draw, read_time
from edge.sources.table import open_source
from edge.sources.view import make_view, parse_region


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("rtsp://bob:secret@cam.local/1", "rtsp://cam.local"),  # user and password; a path may be a key too
        ("http://cam:81/video?user=bob&pwd=secret", "http://cam:81"),  # keys in the query
        ("rtsp://b:s%40e@cam/x", "rtsp://cam"),
        ("rtsp://b:s@e:cret@cam/x", "rtsp://cam"),  # an @ within the password
        ("rtsp://user:pa/ss@host/x", "rtsp://…"),  # a / within the password: what looks like the host is the user
        ("rtsp://user:12/ss@host/x", "rtsp://…"),  # what looks like the port is a piece of it
        ("mqtt://user:12#ss@host/x", "mqtt://…"),  # a #
        ("rtsp://user:pa?s/s@host/x?k=v", "rtsp://…"),  # a ?
        ("rtsp://us[er:pass@host/x", "rtsp://…"),  # brackets are those of an IPv6 address
        ("http://cam/video?user=bob@home&pwd=secret", "http://…"),  # an @ within the query
        ("rtsp://cam/user=bob_password=se@cret", "rtsp://…"),  # or in the path
        ("rtsps://cam:7441/AbCdEfSecret", "rtsps://cam:7441"),  # the path is the key
        ("rtsp://[::1]:554/1", "rtsp://[::1]:554"),
        ("http://host:secret/x", "http://…"),  # no port
        ("http:///secret", "http://…"),
        ("/data/what?.jpg", "/data/what?.jpg"),  # a file name is no address
    ],
)
def test_nothing_of_an_address_but_scheme_and_host_is_shown(address: str, expected: str) -> None:
    assert shown(address) == expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("0", "/dev/video0, found none"),  # no such camera
        ("picamera2:1", "apt install"),  # the library comes with the system
        ("http://bob:secret@127.0.0.1:9/x", r"http://127.0.0.1:9: "),  # nobody there, and no password shown
        ("rtsp://bob:sec#ret@cam/x", "write %23 for #"),  # its password ends the address
        ("rtsp://bob:se/cret@cam/x", "%2F for /"),
        ("no-such-thing", "no-such-thing"),  # neither file nor camera
        ("*.nothing", "pattern"),  # a pattern of no file
        ("ftp://bob:secret@cam/x", "rtsp"),  # no such scheme
    ],
)
def test_what_does_not_open_is_one_line(source: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        open_source(source)
    assert "secret" not in str(caught.value)


def test_a_camera_by_a_name_that_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The link is followed at every opening: after a replug it leads to another number."""
    opened = []

    class Capture:
        def __init__(self, name: str, backend: int) -> None:
            opened.append(Path(name).name)

        def isOpened(self) -> bool:
            return True

        def set(self, key: int, value: float) -> None:
            pass

        def get(self, key: int) -> float:
            return 0

        def grab(self) -> bool:
            return False

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    link = tmp_path / "usb-camera-index0"
    for number in (0, 1):
        node = tmp_path / f"video{number}"
        node.touch()
        link.unlink(missing_ok=True)
        link.symlink_to(node)
        camera = cameras.Kernel(str(link), Mode())
        assert not camera.grab()  # no frame yet
        node.unlink()
        with pytest.raises(OSError, match="unplugged"):  # at once, not after a silence
            camera.grab()
    assert opened == ["video0", "video1"]
    monkeypatch.setattr(Capture, "isOpened", lambda self: False)
    for kind in ("id", "path"):
        with pytest.raises(UserError, match=f"expected a camera at /dev/v4l/by-{kind}/usb-x"):
            open_source(f"/dev/v4l/by-{kind}/usb-x")


class Flaky:
    """Opens always; `grab` gives a frame, or raises what is next in the list. `close` fails too."""

    def __init__(self, reads: list[object]) -> None:
        self.mode = Mode()
        self.reads = reads
        self.opened: list[float] = []

    def __call__(self, text: str, mode: Mode) -> "Flaky":
        self.opened.append(time.monotonic())
        return self

    def grab(self) -> bool:
        item = self.reads.pop(0)
        if isinstance(item, Exception):
            raise item
        return True

    def retrieve(self) -> np.ndarray:
        return flat(1, 2)

    def close(self) -> None:
        raise RuntimeError("the driver is gone")


def frames_of(source: live.Live) -> int:
    """How many frames came until it ended; an AssertionError if it never ends."""
    count, end = 0, time.monotonic() + 15
    for frame in source:
        count += frame is not None
        assert time.monotonic() < end
    return count


def test_whatever_a_camera_raises_it_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_FIRST_PAUSE", 0.01)
    camera = Flaky([KeyError("x"), 1, AttributeError("y"), 1, cv2.error("z"), 1, live.EndOfSource()])
    source = live.Live(camera, "cam", Mode(), lambda line: None)
    assert frames_of(source) >= 1
    assert camera.reads == []
    assert source.reopened == 3


def test_the_pause_grows_until_a_frame_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_FIRST_PAUSE", 0.1)
    camera = Flaky([OSError(), OSError(), OSError(), 1, OSError(), live.EndOfSource()])
    source = live.Live(camera, "cam", Mode(), lambda line: None)
    assert frames_of(source) == 1
    assert np.diff(camera.opened) == pytest.approx([0.1, 0.2, 0.4, 0.1], abs=0.08)


def test_a_raspberry_pi_is_told_of_ribbon_cameras(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    assert "picamera2" in cameras._hint("/dev/video0", tmp_path / "model")
    assert "--list-sources" in cameras._hint("/dev/video0", tmp_path / "none")


@pytest.mark.parametrize("seconds", [0.0, 1.234, 4294967.295, 70000.001])
def test_the_pattern_carries_its_time_through_a_jpeg(seconds: float) -> None:
    data = cv2.imencode(".jpg", draw(320, 240, seconds), [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    assert read_time(cv2.imdecode(data, cv2.IMREAD_COLOR)) == pytest.approx(seconds, abs=0.0011)


def test_a_view_turns_mirrors_and_cuts_in_that_order() -> None:
    frame = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    turned = np.rot90(frame, -1)  # clockwise
    assert np.array_equal(make_view(90)(frame), turned)
    assert np.array_equal(make_view(90, mirror=True)(frame), turned[:, ::-1])
    assert np.array_equal(make_view(90, mirror=True, region=(0, 1, 1, 9))(frame), turned[:, ::-1][1:, :1])
    with pytest.raises(UserError, match="--roi"):
        make_view(region=(9, 9, 5, 5))(frame)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,0", "-1,0,4,4", "a,b,c,d"])
def test_a_bad_region_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="X,Y,W,H"):
        parse_region(text)


# The matrix of a track header says how a player turns the picture (ISO 14496-12, 8.3.2): a, b, c, d of
# x' = a x + c y, y' = b x + d y with y downwards. Where the corner that was stored top left is then seen.
TURNS = [
    (0, (1, 0, 0, 1), (0, 0)),
    (90, (0, 1, -1, 0), (0, 1)),
    (180, (-1, 0, 0, -1), (1, 1)),
    (270, (0, -1, 1, 0), (1, 0)),
]


def turned_video(path: Path, matrix: tuple[int, ...]) -> None:
    """A video of 64x48 pixels, red at the top left, with a matrix in its container."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = (0, 0, 255)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for _ in range(3):
        writer.write(image)
    writer.release()
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 4 + 4 + 20 + 16
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize(("degrees", "matrix", "corner"), TURNS)
def test_a_video_is_upright_as_its_container_says(
    degrees: int, matrix: tuple[int, ...], corner: tuple[int, int], tmp_path: Path
) -> None:
    """Corner: row and column, 0 or 1, of the red one."""
    turned_video(tmp_path / "phone.mp4", matrix)
    source = open_source(str(tmp_path / "phone.mp4"))
    images = [frame.image for frame in source if frame is not None]
    source.close()
    assert len(images) == 3
    height, width = images[0].shape[:2]
    assert (width, height) == ((48, 64) if degrees in (90, 270) else (64, 48))
    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    red = {place: images[0][height * (1 + 2 * place[0]) // 4, width * (1 + 2 * place[1]) // 4, 2] for place in places}
    assert max(places, key=lambda place: red[place]) == corner


class Ages(Sink):
    """Notes how old each frame is, by the time that is drawn into it."""

    def __init__(self, count: int) -> None:
        self.ages: list[float] = []
        self.left = count

    def write(self, moment: Moment) -> None:
        self.ages.append(time.monotonic() % (2**32 / 1000) - read_time(moment.frame.image))
        self.left -= 1
        if not self.left:
            raise Ended


def test_results_are_never_older_than_two_inferences(tiny_model: Path) -> None:
    """30 frames a second to a model that manages ten."""

    def slow(scores: np.ndarray) -> np.ndarray:
        time.sleep(0.1)
        return scores

    ages = Ages(20)
    with Classifier(tiny_model, threads=1) as classifier:
        summary = run(classifier, open_source("test:", Mode(320, 240, 30)), [ages], smooth=slow)
    assert max(ages.ages[1:]) < 0.2
    assert summary["dropped"] >= 30  # two of three


def test_jpegs_on_standard_input(tiny_model: Path) -> None:
    """Rubbish between pictures, a broken picture, and pieces of any size do no harm."""
    red, blue = (cv2.imencode(".jpg", flat(*colour))[1].tobytes() for colour in ((220, 20), (20, 220)))
    with edge(
        "run", tiny_model, "--source", "-", "--json", "--smooth", "none", stdin=subprocess.PIPE, text=False
    ) as job:
        assert job.stdin is not None
        assert job.stdout is not None
        labels = []
        for chunk in (b"rubbish" + red, b"\xff\xd8\xff\xe0\x00\x04ab" + blue, red[:30]):
            job.stdin.write(chunk)
            job.stdin.flush()
            if len(labels) < 2:
                labels.append(json.loads(job.stdout.readline())["label"])
        rest, _ = job.communicate(timeout=30)
    assert job.returncode == 0
    assert labels == ["red", "blue"]
    assert rest == b""


def test_the_mode_that_was_given_is_told(tiny_model: Path) -> None:
    with edge("run", tiny_model, "--source", "test:", "--width", 320, "--height", 200, "--fps", 50, "--json") as job:
        assert job.stdout is not None
        job.stdout.readline()
        job.send_signal(signal.SIGTERM)
        _, errors = job.communicate(timeout=20)
    assert "320x200 50 frames/s (asked: 320x200 50 frames/s)" in errors


def test_list_sources_needs_no_model() -> None:
    job = run_module("edge", "run", "--list-sources")
    assert job.returncode == 0
    assert "Traceback" not in job.stderr


class _Stream(BaseHTTPRequestHandler):
    """A network camera that sends so many JPEGs and then breaks off, or falls silent."""

    frames, silent = 5, False

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        picture = cv2.imencode(".jpg", flat(220, 20, (120, 160)))[1].tobytes()
        for _ in range(self.frames):
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture))
            self.wfile.write(picture + b"\r\n")
            time.sleep(0.05)
        if self.silent:
            time.sleep(3)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("silent", [False, True])
def test_a_network_camera_that_dies_comes_back(silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SILENCE", 1.0)
    monkeypatch.setattr(live, "_FIRST_PAUSE", 0.1)
    handler = type("Handler", (_Stream,), {"silent": silent})
    port, told = free_port(), []
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = live.Live(Stream, f"http://u:secret@127.0.0.1:{port}/x", Mode(), told.append)
    try:
        frames = (frame for frame in source if frame is not None)
        started = time.monotonic()
        for frame in itertools.islice(frames, 8):
            assert "secret" not in frame.source
            assert time.monotonic() - started < 30
        assert source.reopened >= 1
        if not silent:  # nobody there for a while
            server.shutdown()
            server.server_close()
            time.sleep(0.5)
            server = ThreadingHTTPServer(("127.0.0.1", port), handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            before = source.reopened
            wait_for(lambda: next(frames) and source.reopened > before, 30)
        assert told[:2] == ["lost; opening it again", "found again"]
    finally:
        source.close()
        server.shutdown()
        server.server_close()


def test_sigterm_while_the_camera_is_away(tiny_model: Path) -> None:
    """A pipe that is open but silent: the run waits, and ends at once when told to."""
    reader, writer = os.pipe()
    with edge("run", tiny_model, "--source", "-", "--json", stdin=reader) as job:
        os.write(writer, cv2.imencode(".jpg", flat(220, 20))[1].tobytes())
        assert job.stdout is not None
        job.stdout.readline()
        time.sleep(1.5)
        job.send_signal(signal.SIGTERM)
        _, errors = job.communicate(timeout=15)
    os.close(reader)
    os.close(writer)
    assert job.returncode == 0
    assert "1 frames in" in errors


def test_sigterm_before_the_first_frame(tiny_model: Path) -> None:
    """At any moment of the start a signal ends the process, and no half-made thing stays."""
    for pause in (0.02, 0.15, 0.3, 0.6):
        with edge("run", tiny_model, "--source", "test:", "--json") as job:
            time.sleep(pause)
            job.send_signal(signal.SIGTERM)
            _, errors = job.communicate(timeout=15)
        assert job.returncode in (0, 130, -signal.SIGTERM), errors
        assert "Traceback" not in errors


def test_examples_run(tiny_model: Path, tmp_path: Path) -> None:
    """Each example of the library, as a user runs it."""
    cv2.imwrite(str(tmp_path / "red.png"), flat(220, 20))
    for example, arguments in (
        ("one_picture.py", [tiny_model, tmp_path / "red.png"]),
        ("folder_to_csv.py", [tiny_model, tmp_path, tmp_path / "out.csv"]),
        ("own_sink.py", [tiny_model, tmp_path]),
    ):
        command = [sys.executable, ROOT / "edge" / "examples" / example, *arguments]
        job = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert job.returncode == 0, job.stderr
        assert "red" in job.stdout + ((tmp_path / "out.csv").read_text() if "csv" in example else "")
