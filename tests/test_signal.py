"""A camera that is away: the run goes on, says so everywhere, and has frames soon after the camera is back."""

import itertools
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import run_module
from device import Camera, camera, edge, flat, free_port, process, wait_for
from test_sinks import BROKER, moment

from edge import Classifier
from edge.errors import UserError
from edge.live import run
from edge.sinks.base import Ended, Moment, Sink
from edge.sinks.mqtt import Mqtt
from edge.sinks.queued import Queued
from edge.sinks.watchdog import Watchdog, watchdogs
from edge.smoothing import Event
from edge.sources import live
from edge.sources.base import Away, Frame, Mode, Signal, Source
from edge.sources.network import Stream
from edge.sources.table import open_source


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def metrics(port: int) -> dict[str, float]:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    return {line.split()[0]: float(line.split()[-1]) for line in text.splitlines() if line[0] != "#"}


@contextmanager
def supervisor(path: Path) -> Iterator[list[tuple[float, str]]]:
    """What a service manager hears, with the time of each message."""
    heard: list[tuple[float, str]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(path))
        ear.settimeout(0.2)
        ended = threading.Event()

        def listen() -> None:
            while not ended.is_set():
                try:
                    heard.append((time.monotonic(), ear.recv(4096).decode()))
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield heard
        finally:
            ended.set()
            thread.join()


@pytest.mark.skipif(not Path(BROKER).exists(), reason="mosquitto is not installed")
def test_a_camera_that_is_away_for_long(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the start, and again: one process, told by /metrics, MQTT and the journal; frames within 5 s of its return.

    An hour is 12 s here: longer than every pause and time-out of an opening.
    """
    paho = pytest.importorskip("paho.mqtt.client")
    eye, page, broker = free_port(), free_port(), free_port()
    (tmp_path / "mosquitto.conf").write_text(f"listener {broker} 127.0.0.1\nallow_anonymous true\n")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    heard: dict[str, str] = {}
    listener = paho.Client(paho.CallbackAPIVersion.VERSION2)
    listener.on_message = lambda client, data, message: heard.update({message.topic: message.payload.decode()})
    listener.on_connect = lambda client, *_: client.subscribe("#", qos=1)
    options = ("--preview", page, "--mqtt", f"mqtt://127.0.0.1:{broker}/yard", "--save-dir", tmp_path)
    with process(BROKER, "-c", tmp_path / "mosquitto.conf", **quiet), supervisor(tmp_path / "notify") as told:
        wait_for(lambda: listening(broker))
        listener.connect("127.0.0.1", broker)
        listener.loop_start()
        with edge("run", tiny_model, "--source", f"http://127.0.0.1:{eye}/stream", *options) as job:
            wait_for(lambda: heard.get("yard/camera") == "offline" and listening(page), 20)
            assert heard["yard/availability"] == "online"
            assert metrics(page)["frostlite_signal"] == 0
            with camera(eye):
                started = time.monotonic()
                wait_for(lambda: metrics(page)["frostlite_signal"] == 1, 8)
                assert time.monotonic() - started < 5
                wait_for(lambda: heard.get("yard/camera") == "online" and "yard/state" in heard)
            time.sleep(12)
            away = metrics(page)
            assert away["frostlite_signal"] == 0
            assert 9 < away["frostlite_last_frame_age_seconds"] < 20
            assert heard["yard/camera"] == "offline"
            assert "no signal" in told[-1][1]
            before = away["frostlite_frames_total"]
            with camera(eye):
                started = time.monotonic()
                wait_for(lambda: metrics(page)["frostlite_frames_total"] > before, 8)
                assert time.monotonic() - started < 5
                wait_for(lambda: heard["yard/camera"] == "online")
                assert metrics(page)["frostlite_source_reopened_total"] == 2
            assert job.poll() is None
            heard.clear()
            job.terminate()
            _, errors = job.communicate(timeout=20)
            wait_for(lambda: heard.get("yard/availability") == "offline")  # said by itself, at a clean stop
        listener.loop_stop()
    assert job.returncode == 0, errors
    assert told[0][1].startswith("READY=1")
    fed = [when for when, text in told if "WATCHDOG=1" in text]
    assert max(np.diff(fed)) < 4  # never starved
    journal = [line for line in errors.splitlines() if line.startswith("http://127.0.0.1")]
    states = [line.split(": ")[1].split(";")[0] for line in journal if " frames/s" not in line]
    assert states[:4] == ["waiting for it", "found", "lost", "found again"]
    assert len(states) <= 5  # at the end it is away once more


def test_without_anybody_to_tell_a_camera_that_is_away_is_an_error(tiny_model: Path) -> None:
    job = run_module("edge", "run", tiny_model, "--source", f"http://127.0.0.1:{free_port()}/x")
    assert job.returncode == 2
    assert len(job.stderr.splitlines()) == 1


class Told(Watchdog):
    """One whose messages are kept."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.said: list[str] = []

    def _send(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(
    ("signals", "first_frame", "feeds", "ready"),
    [
        ([Signal(0.5), Signal(0.2)], True, 3, 0),  # READY with the frame, then fed by every tick
        ([Signal(0.5), Signal(1.5)], False, 0, None),  # a frame may come: an update that cannot classify is not READY
        ([Signal(1), Signal(5), Signal(6)], False, 2, 0),  # no camera: READY all the same
        ([Signal(5), Signal(5, hung=True), Signal(70, hung=True)], False, 1, 0),  # a call hangs: starved
    ],
)
def test_the_watchdog(signals: list[Signal], first_frame: bool, feeds: int, ready: int | None) -> None:
    dog = Told()
    if first_frame:
        dog.write(moment())
    for signal in signals:
        dog.tick(signal)
    assert sum("WATCHDOG=1" in text for text in dog.said) == feeds
    assert [place for place, text in enumerate(dog.said) if "READY=1" in text] == ([] if ready is None else [ready])
    dog.close()
    assert dog.said[-1] == "STOPPING=1"


def test_the_status_is_of_the_label_that_stands() -> None:
    dog = Told()
    dog.write(replace(moment("red", 0.53), stable="blue", score=0.47))
    dog.write(replace(moment("red", 0.53), stable="unknown", score=None))
    dog.tick(Signal())
    dog.close()
    assert [re.findall("STATUS=(.*),", text) for text in dog.said] == [["blue 47%"], ["unknown"], []]


def test_the_journal_has_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    dog = Told()
    for event in (Event("", "red", 0.53), None, Event("red", "unknown", 0.4)):
        dog.write(replace(moment(), event=event))
    dog.close()
    assert capsys.readouterr().out.splitlines() == ["red 53% (before: nothing)", "unknown 40% (before: red)"]


@pytest.mark.parametrize("abstract", [False, True])
def test_the_watchdog_reaches_its_supervisor_and_never_waits(abstract: bool, tmp_path: Path) -> None:
    """At a path or an abstract address; one that does not listen holds nothing up."""
    address = f"@frostlite-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address.replace("@", "\0"))
        ear.settimeout(5)
        dog = Watchdog(address)
        dog.write(moment())
        assert ear.recv(4096).decode() == "READY=1\nSTATUS=red 90%, 10.0 frames/s\nWATCHDOG=1"
        started = time.monotonic()
        for _ in range(3000):  # more than any queue of the kernel holds
            dog.tick(Signal())
        assert time.monotonic() - started < 3
        dog.close()


@pytest.mark.parametrize(("address", "count"), [("/run/x", 1), ("@x", 1), ("", 0), ("vsock:2:1", 0)])
def test_who_is_listened_to(address: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    dogs = watchdogs()
    assert len(dogs) == count
    for dog in dogs:
        dog.close()


def test_a_call_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HUNG", 0.2)
    held = threading.Event()

    class Hangs:
        mode = Mode()

        def __init__(self, text: str, mode: Mode) -> None:
            pass

        def grab(self) -> bool:
            return not held.wait(10)

        def retrieve(self) -> np.ndarray:
            return flat(1, 2)

        def close(self) -> None:
            pass

    source = live.Live(Hangs, "cam", Mode(), lambda line: None)
    assert not source.signal().hung
    wait_for(lambda: source.signal().hung, 2)
    held.set()
    source.close()


class Ticks(Sink):
    """Notes what it is told; ends the run after so many ticks."""

    def __init__(self, most: int) -> None:
        self.signals: list[Signal] = []
        self.frames, self.most = 0, most

    def write(self, moment: Moment) -> None:
        self.frames += 1

    def tick(self, signal: Signal) -> None:
        self.signals.append(signal)
        if len(self.signals) == self.most:
            raise Ended


def test_every_sink_hears_once_a_second_with_frames_and_without(tiny_model: Path) -> None:
    class Silent(Source):
        live = True

        def __iter__(self) -> Iterator[Frame | None]:
            while True:
                time.sleep(1)
                yield None

        def signal(self) -> Signal:
            return Signal(7.0, 3)

    queued = Ticks(9)
    with Classifier(tiny_model, threads=1) as classifier:
        for source, frames in ((Silent("x"), 0), (open_source("test:", Mode(64, 48, 30)), 40)):
            ticks = Ticks(2)
            started = time.monotonic()
            run(classifier, source, [Queued("q", queued, wait=False), ticks])
            assert 1.5 < time.monotonic() - started < 8
            assert ticks.frames >= min(1, frames)
            assert ticks.signals[-1].there is (frames > 0)
    assert len(queued.signals) >= 2  # through its queue


class Pattern:
    """A camera of 30 frames a second that takes no rate."""

    mode = Mode(64, 48, 30)

    def __init__(self, text: str, mode: Mode) -> None:
        self.grabbed = self.retrieved = 0

    def grab(self) -> bool:
        time.sleep(1 / 30)
        self.grabbed += 1
        return True

    def retrieve(self) -> np.ndarray:
        self.retrieved += 1
        return flat(1, 2)

    def close(self) -> None:
        pass


def test_fps_limits_any_live_source_and_lets_the_processor_sleep(tiny_model: Path) -> None:
    """Of a network camera and of one that takes no rate: a third of the processor, with 40 ms of it for each frame."""
    with camera() as port, Classifier(tiny_model, threads=1) as classifier:
        native = classifier.interpreter.invoke

        def busy(tensor: np.ndarray) -> np.ndarray:
            end = time.thread_time() + 0.04
            while time.thread_time() < end:
                pass
            return native(tensor)

        classifier.interpreter.invoke = busy  # type: ignore[method-assign]
        pattern = Pattern("", Mode())
        for source in (
            open_source(f"http://127.0.0.1:{port}/stream", Mode(fps=4.0)),
            live.Live(lambda text, mode: pattern, "cam", Mode(fps=4.0)),
        ):
            before = time.process_time()
            summary = run(classifier, source, [Ticks(4)])
            spent = time.process_time() - before
            assert summary["frames"] / summary["seconds"] == pytest.approx(4.0, rel=0.3)
            assert spent < 0.35 * summary["seconds"]
    assert pattern.grabbed > 3 * pattern.retrieved  # the rest was not even decoded


def test_fps_is_not_for_files(tiny_model: Path, tmp_path: Path) -> None:
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"{number}.png"), flat(220, 20))
    started = time.monotonic()
    with Classifier(tiny_model, threads=1) as classifier:
        assert run(classifier, open_source(str(tmp_path), Mode(fps=1.0)), [])["frames"] == 12
    assert time.monotonic() - started < 5


def test_the_rate_that_the_camera_has_is_kept() -> None:
    """Frames that come a little early are not left out: all of a camera of 10 a second that is now early, now late."""

    class Uneven(Pattern):
        def grab(self) -> bool:
            self.grabbed += 1
            time.sleep(0.08 if self.grabbed % 2 else 0.12)
            return True

    camera = Uneven("", Mode())
    source = live.Live(lambda text, mode: camera, "cam", Mode(fps=10), lambda line: None)
    assert len(list(itertools.islice(filter(None, source), 20))) == 20
    source.close()
    assert camera.retrieved > 0.8 * camera.grabbed


def test_an_address_that_gives_one_picture_a_request_is_a_camera(tiny_model: Path) -> None:
    """Asked at the rate of --fps, neither lost nor found again."""
    told: list[str] = []
    handler = type("Asked", (Camera,), {"requests": []})
    with camera(handler=handler) as port:
        source = live.Live(Stream, f"http://bob:x@127.0.0.1:{port}/snapshot?key=1", Mode(fps=5), told.append)
        frames, started = [], time.monotonic()
        for frame in source:
            if frame is not None:
                frames.append(frame)
            if len(frames) == 8:
                break
        took = time.monotonic() - started
        source.close()
    assert told == []
    assert source.reopened == 0
    assert 0.8 < took < 9
    assert np.abs(frames[-1].image.astype(int) - flat(220, 20, (120, 160))).max() < 12
    assert 8 <= len(handler.requests) < 16


def test_a_video_file_of_a_server_ends(tiny_model: Path, tmp_path: Path) -> None:
    """Every frame once, as of a file, and then the end."""
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for _ in range(30):
        writer.write(flat(220, 20))
    writer.release()
    handler = type("File", (Camera,), {"clip": (tmp_path / "a.mp4").read_bytes()})
    with camera(handler=handler) as port:
        job = run_module(
            "edge", "run", tiny_model, "--source", f"http://127.0.0.1:{port}/clip.mp4", "--json", timeout=60
        )
    assert job.returncode == 0, job.stderr
    assert [json.loads(line)["frame"] for line in job.stdout.splitlines()] == list(range(30))


def test_what_is_no_jpeg_on_standard_input_is_said(tiny_model: Path) -> None:
    """As `rpicam-vid` without `--codec mjpeg` writes it: H.264."""
    noise = np.random.default_rng(0).integers(0, 255, 9 << 20, np.uint8).tobytes().replace(b"\xff\xd8", b"\0\0")
    with edge("run", tiny_model, "--source", "-", "--json", stdin=subprocess.PIPE, text=False) as job:
        _, errors = job.communicate(b"\0\0\0\1\x67" + noise, timeout=60)
    assert job.returncode == 2
    assert b"found no JPEG in 4 MB" in errors
    assert b"--codec mjpeg" in errors
    assert errors.count(b"\n") <= 3


@pytest.mark.parametrize(
    ("fails", "words"),
    [("configure", "does not start: no such size"), ("start", "does not start: no such size"), ("busy", "is busy")],
)
def test_a_ribbon_camera_that_fails_is_closed(fails: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "pi" / "standin"))
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    import picamera2

    from edge.sources.cameras import Ribbon

    def fail(*_: Any) -> None:
        raise RuntimeError("no such size")

    def busy(*_: Any) -> None:
        try:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        except RuntimeError:  # as picamera2 hands it on
            raise RuntimeError("Camera __init__ sequence did not complete.")  # noqa: B904

    monkeypatch.setattr(
        picamera2.Picamera2, "__init__" if fails == "busy" else fails, busy if fails == "busy" else fail
    )
    with pytest.raises(Away, match=words):
        Ribbon("picamera2", Mode())
    if fails != "busy":
        assert picamera2.opened[-1].state == "closed"
    sys.modules.pop("picamera2", None)


def test_a_usb_camera_gets_fourcc_size_and_rate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In this order: the format decides which sizes there are, and the size which rates."""
    from edge.sources.cameras import Kernel

    asked: list[tuple[int, float]] = []

    class Capture:
        def __init__(self, name: str, backend: int) -> None:
            pass

        def isOpened(self) -> bool:
            return True

        def set(self, key: int, value: float) -> None:
            asked.append((key, value))

        def get(self, key: int) -> float:
            return 0

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    node = tmp_path / "video0"
    node.touch()
    Kernel(str(node), Mode(1280, 720, 15.0, "YUYV"))
    code = int.from_bytes(b"YUYV", "little")
    assert asked == [
        (cv2.CAP_PROP_FOURCC, code), (cv2.CAP_PROP_FRAME_WIDTH, 1280), (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 15.0),
    ]  # fmt: skip
    asked.clear()
    Kernel(str(node), Mode())
    assert asked == [(cv2.CAP_PROP_FOURCC, int.from_bytes(b"MJPG", "little"))]


@pytest.mark.parametrize(
    ("flags", "own", "expected"),
    [
        (0x85200001, 0x04200001, True),  # a USB camera's node for pictures
        (0x85200001, 0x04A00000, False),  # its node for metadata
        (0x84204000, 0x04204000, False),  # a codec, which takes and gives (multi-planar)
        (0x84208000, 0x04208000, False),
        (0x84200002, 0x04200002, False),  # an output
        (0x84201000, 0x04201000, True),  # a camera of several planes
        (0x05000001, 0, True),  # an old driver, without flags of its own
    ],
)
def test_only_nodes_that_capture_are_cameras(flags: int, own: int, expected: bool) -> None:
    import struct

    from edge.sources.cameras import is_capture

    answer = struct.pack("=16s32s32sIIIIII", b"uvcvideo", b"cam", b"usb", 0x60000, flags, own, 0, 0, 0)
    assert len(answer) == 104  # sizeof(struct v4l2_capability)
    assert is_capture(answer) is expected


def test_an_empty_list_of_cameras_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if list(Path("/sys/class/video4linux").glob("video*")):
        pytest.skip("there is a camera here")
    job = run_module("edge", "run", "--list-sources")
    assert job.stdout == ""
    assert "no camera found" in job.stderr
    assert job.returncode == 0


def test_the_end_does_not_wait_for_a_sink_that_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its patience what still waits is lost, and told as lost."""
    monkeypatch.setattr(Queued, "PATIENCE", 0.5)

    class Slow(Sink):
        closed = False

        def write(self, moment: Moment) -> None:
            time.sleep(0.2)

        def close(self) -> None:
            self.closed = True

    slow = Slow()
    queued = Queued("slow", slow, wait=True)
    for _ in range(60):
        queued.write(moment())
    started = time.monotonic()
    queued.close()
    assert time.monotonic() - started < 3
    assert slow.closed
    assert 50 < queued.lost < 60


def test_pictures_that_wait_are_few_when_they_are_large() -> None:
    held = threading.Event()

    class Held(Sink):
        pictures, depth = True, 8

        def write(self, moment: Moment) -> None:
            held.wait(10)

    for shape, waiting in (((3040, 4056, 3), 1), ((480, 640, 3), 8)):
        held.clear()
        queued = Queued("held", Held(), wait=False)
        large = moment(image=np.zeros(shape, np.uint8))
        queued.write(large)
        wait_for(queued._queue.empty)
        for _ in range(12):
            queued.write(large)
        assert queued._queue.qsize() == waiting
        held.set()
        queued.close()


def test_a_window_answers_while_there_is_no_frame() -> None:
    """Its keys and its closing are looked at with every tick."""
    from edge.sinks.video import Window

    class Keyed(Window):
        def __init__(self) -> None:
            self.looked = 0

        def key(self) -> int:
            self.looked += 1
            return 255

    window = Keyed()
    window.tick(Signal(9.0))
    assert window.looked == 1


@pytest.mark.parametrize(
    ("topic", "hostname"),
    [("küche/cam", "pi"), ("kuche/cam", "pi"), ("a b/c.d", "pi"), ("", "büro"), ("", "raspberrypi"), ("雪", "pi")],
)
def test_home_assistant_takes_the_identifiers(topic: str, hostname: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    monkeypatch.setattr("socket.gethostname", lambda: hostname)
    sink = Mqtt(f"mqtt://127.0.0.1:{free_port()}/{topic.replace(' ', '%20')}", "best")
    sink.close()
    assert re.fullmatch(r"[A-Za-z0-9_-]+", sink.identity)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", str(sink._discovery()["unique_id"]))


def test_two_machines_are_two_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the same model and topic; and topics that differ by a sign are two on one machine."""
    found = []
    for number, (topic, host) in enumerate(
        [("t", "kitchen"), ("t", "door"), ("k/che", "x"), ("küche", "x"), ("k.che", "x")]
    ):
        (tmp_path / "serial").write_text(f"1000000{min(number, 2)}")
        monkeypatch.setattr("edge.sinks.mqtt._OWN_NUMBERS", (str(tmp_path / "serial"),))
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        sink = Mqtt(f"mqtt://127.0.0.1:{free_port()}/{topic}", "best")
        sink.close()
        found.append(sink._discovery()["device"])
    assert len({device["identifiers"][0] for device in found}) == 5
    assert found[0]["name"] != found[1]["name"]


OPENSSL = shutil.which("openssl")


@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")  # paho leaves one after a bad certificate
@pytest.mark.skipif(not (Path(BROKER).exists() and OPENSSL), reason="mosquitto and openssl are not installed")
def test_a_broker_with_a_certificate_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Refused with the reason until ?ca= names who vouches for it; a host that does not exist is another sentence."""
    names = tmp_path / "ca.pem", tmp_path / "key.pem"
    subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", names[0], "-keyout", names[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    names[1].chmod(0o644)
    port = free_port()
    (tmp_path / "m.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {names[0]}\nkeyfile {names[1]}\nuser root\n"
    )
    said: list[str] = []
    with process(BROKER, "-c", tmp_path / "m.conf", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_for(lambda: listening(port))
        for address in (f"mqtts://u:geheim@localhost:{port}/x", "mqtt://u:geheim@no-such-host.invalid/x"):
            sink = Queued("mqtt", Mqtt(address, "m"), wait=True)
            said.append("")
            wait_for(lambda: said.append(said.pop() + capfd.readouterr().err) or "trying again" in said[-1], 10)
            sink.close()
        trusted = Mqtt(f"mqtts://localhost:{port}/x?ca={names[0]}", "m")
        wait_for(trusted._up.is_set, 10)
        trusted.close()
    text = "".join(said)
    assert f"mqtts://localhost:{port}: its certificate is not trusted (self-signed certificate)" in text
    assert "mqtt://no-such-host.invalid: there is no host of that name" in text
    assert "geheim" not in text
    with pytest.raises(UserError, match=r"\?ca=.*expected a file of certificates"):
        Mqtt("mqtts://localhost/x?ca=/no/such", "m")
