"""Sinks against the real thing: a broker, a web server, a full disk, a reader that goes away."""

import csv
import json
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ROOT, run_module
from device import edge, flat, free_port, process, wait_for

from edge.classifier import Result
from edge.errors import UserError
from edge.hooks import Command, WebHook
from edge.metrics import render
from edge.queued import Queued
from edge.sinks import CsvFile, Ended, Moment, Sink
from edge.smoothing import Event
from edge.sources import Frame


def moment(label: str = "red", score: float = 0.9, event: bool = True, image: np.ndarray | None = None) -> Moment:
    other = "blue" if label == "red" else "red"
    result = Result(label, score, ((label, score), (other, 1 - score)), {"total": 1.0}, np.array([score, 1 - score]))
    frame = Frame(flat(200, 20) if image is None else image, 7, "cam", 0.0)
    return Moment(frame, result, label, Event("", label, score) if event else None, 10.0, 3, 1, time.time())


class Slow(Sink):
    depth = 4

    def __init__(self) -> None:
        self.taken = 0
        self.closed = False

    def write(self, moment: Moment) -> None:
        time.sleep(0.05)
        self.taken += 1

    def close(self) -> None:
        self.closed = True


def test_a_slow_sink_loses_its_own_moments_and_is_never_waited_for() -> None:
    slow = Slow()
    queued = Queued("slow", slow, wait=False)
    started = time.perf_counter()
    for _ in range(100):
        queued.write(moment())
    assert time.perf_counter() - started < 0.1
    queued.close()
    assert slow.closed
    assert slow.taken + queued.lost == 100
    assert queued.lost >= 90


def test_a_run_through_files_waits_for_its_sinks() -> None:
    slow = Slow()
    queued = Queued("slow", slow, wait=True)
    for _ in range(20):
        queued.write(moment())
    queued.close()
    assert (slow.taken, queued.lost) == (20, 0)


def test_a_sink_that_fails_is_told_once_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    class Broken(Sink):
        def write(self, moment: Moment) -> None:
            raise OSError("no space left")

    queued = Queued("broken", Broken(), wait=True)
    for _ in range(5):
        queued.write(moment())
    queued.close()
    assert queued.lost == 5
    assert capfd.readouterr().err == "broken: no space left\n"


def test_a_reader_that_goes_away_ends_the_run(tiny_model: Path) -> None:
    command = f"{sys.executable} -m edge run {tiny_model} --source test: --json | head -2"
    job = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, cwd=ROOT, timeout=30
    )
    assert len(job.stdout.splitlines()) == 2
    assert job.returncode == 0, job.stderr
    assert "Traceback" not in job.stderr


def test_csv_appends_and_keeps_one_header(tmp_path: Path) -> None:
    for _ in range(2):
        sink = CsvFile(tmp_path / "out.csv")
        sink.write(moment('a "quoted", label'))
        sink.close()
    rows = list(csv.DictReader((tmp_path / "out.csv").open(newline="")))
    assert [row["label"] for row in rows] == ['a "quoted", label'] * 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 1 MB, where the rights suffice to make one."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("making a small disk takes root")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_leaves_no_half_row(small_disk: Path) -> None:
    sink = CsvFile(small_disk / "out.csv")
    (small_disk / "filler").write_bytes(b"x" * ((1 << 20) - 12288))
    failures = 0
    for _ in range(400):
        try:
            sink.write(moment())
        except OSError:
            failures += 1
    assert 0 < failures < 400
    (small_disk / "filler").unlink()
    sink.write(moment("after"))
    sink.close()
    rows = list(csv.reader((small_disk / "out.csv").open(newline="")))
    assert {len(row) for row in rows} == {8}
    assert rows[-1][3] == "after"


def test_a_full_disk_stops_saving_not_the_run(tiny_model: Path, small_disk: Path) -> None:
    arguments = ("--csv", small_disk / "a.csv", "--record", small_disk / "a.avi", "--save-uncertain", small_disk / "u")
    job = run_module(
        "edge",
        "run",
        tiny_model,
        "--source",
        _grey_pictures(small_disk.parent),
        *arguments,
        "--json",
        "--threshold",
        0.9,
    )
    assert job.returncode == 0, job.stderr
    assert len(job.stdout.splitlines()) == 20
    assert "nearly full" in job.stderr
    assert "Traceback" not in job.stderr


def _grey_pictures(folder: Path) -> Path:
    (folder / "grey").mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / "grey" / f"{number:02}.png"), flat(120, 118))
    return folder / "grey"


def test_uncertain_frames_are_kept_within_limits(tmp_path: Path) -> None:
    from edge.collect import Uncertain

    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "mine.jpg").write_bytes(b"of the user")
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    sink = Uncertain(tmp_path, every=0.0, limit=100_000)
    sink.write(moment("red", 0.95, image=image))
    assert len(list(tmp_path.rglob("2*.jpg"))) == 0  # sure of it
    for _ in range(12):
        sink.write(moment("red", 0.55, image=image))
    kept = sorted(tmp_path.rglob("2*.jpg"))
    assert 1 < len(kept) < 12
    assert sum(path.stat().st_size for path in kept) <= 100_000
    assert (tmp_path / "red" / "mine.jpg").exists()
    limited = Uncertain(tmp_path / "rate", every=60.0)
    for _ in range(5):
        limited.write(moment("red", 0.55, image=image))
    assert len(list((tmp_path / "rate").rglob("*.jpg"))) == 1


@pytest.mark.parametrize("label", ["", "..", "a/b", ".hidden", "x" * 81, "a\nb", "c:d"])
def test_a_label_that_cannot_name_a_folder_is_refused(label: str, tmp_path: Path) -> None:
    from edge.collect import SaveFolder

    with pytest.raises(UserError, match="label"):
        SaveFolder(tmp_path / "out").save(label, flat(1, 1))
    assert list(tmp_path.iterdir()) == []


def test_collect_writes_what_train_reads(tmp_path: Path) -> None:
    from train.dataset import load_dataset

    for label in ("cat", "dog"):
        arguments = ("--label", label, "--source", "test:", "--out", tmp_path / "photos", "--count", 5, "--every", 0.05)
        job = run_module("edge", "collect", *arguments)
        assert job.returncode == 0, job.stderr
    assert "cat 5, dog 5" in job.stderr
    data = load_dataset(tmp_path / "photos", seed=0)
    assert data.labels == ("cat", "dog")
    assert len(data.train) + len(data.validation) == 10


def test_a_web_hook_is_tried_again() -> None:
    class Hook(BaseHTTPRequestHandler):
        got: list[tuple[int, Any]] = []

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = 503 if not self.got else 204
            self.got.append((status, body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        WebHook(f"http://127.0.0.1:{server.server_port}/x").write(moment("red"))
    finally:
        server.shutdown()
        server.server_close()
    assert [status for status, _ in Hook.got] == [503, 204]
    assert Hook.got[1][1]["label"] == "red"
    with pytest.raises(UserError, match="--webhook"):
        WebHook("ftp://x")


def test_a_command_gets_the_event(tmp_path: Path) -> None:
    out = tmp_path / "out"
    Command(f"sh -c 'cat > {out}; echo $FROSTLITE_LABEL >> {out}'").write(moment("a; touch x"))
    event, label = out.read_text().splitlines()
    assert json.loads(event)["label"] == label == "a; touch x"  # nothing of it reaches a shell
    with pytest.raises(OSError, match="status 3"):
        Command("sh -c 'exit 3'").write(moment())
    with pytest.raises(UserError, match="--exec"):
        Command("no-such-command-here")


def test_prometheus_reads_the_metrics() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    text = render(12, moment('say "hi"\\'), {"red": 2}, 51.5, ["throttled"])
    found = {sample.name: sample for family in parser.text_string_to_metric_families(text) for sample in family.samples}
    assert found["frostlite_frames_total"].value == 12
    assert found["frostlite_label"].labels == {"label": 'say "hi"\\'}
    assert found["frostlite_stage_seconds"].value == pytest.approx(0.001)
    assert found["frostlite_throttled"].value == 1


BROKER = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


@pytest.mark.skipif(not Path(BROKER).exists(), reason="mosquitto is not installed")
def test_mqtt_with_a_real_broker(tiny_model: Path, tmp_path: Path) -> None:
    """State is retained, a broker that vanishes is found again, a killed process is said to be offline."""
    paho = pytest.importorskip("paho.mqtt.client")
    port = free_port()
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    broker = (BROKER, "-c", tmp_path / "mosquitto.conf")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    heard: dict[str, str] = {}

    def listen() -> Any:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.on_message = lambda client, data, message: heard.update({message.topic: message.payload.decode()})
        client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        client.reconnect_delay_set(1, 1)
        client.connect_async("127.0.0.1", port)
        client.loop_start()
        return client

    with edge("run", tiny_model, "--source", "test:", "--mqtt", f"mqtt://127.0.0.1:{port}/yard/cam", "--json") as job:
        listener = listen()
        with process(*broker, **quiet):
            wait_for(lambda: "yard/cam/state" in heard, 20)
            assert heard["yard/cam/availability"] == "online"
            assert json.loads(heard["yard/cam/state"])["label"] in ("red", "blue")
            config = json.loads(heard["homeassistant/sensor/yard_cam/label/config"])
            assert config["state_topic"] == "yard/cam/state"
        heard.clear()
        assert job.poll() is None  # the run goes on without its broker
        with process(*broker, **quiet):  # this one remembers nothing
            wait_for(lambda: "yard/cam/state" in heard, 20)
            job.kill()
            wait_for(lambda: heard["yard/cam/availability"] == "offline", 20)
        listener.loop_stop()


def test_a_broker_that_never_was_does_not_delay_the_end(tiny_model: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), flat(220, 20))
    started = time.monotonic()
    job = run_module(
        "edge", "run", tiny_model, "--source", tmp_path, "--mqtt", f"mqtt://u:pw@127.0.0.1:{free_port()}", "--json"
    )
    assert job.returncode == 0
    assert time.monotonic() - started < 15
    assert "1 lost by sinks" in job.stderr
    assert "pw" not in job.stderr


def test_the_ended_sink_ends_the_loop() -> None:
    class Closing(Sink):
        def write(self, moment: Moment) -> None:
            raise Ended

    queued = Queued("closing", Closing(), wait=True)
    queued.write(moment())
    wait_for(lambda: queued._ended)
    with pytest.raises(Ended):
        queued.write(moment())
    queued.close()
