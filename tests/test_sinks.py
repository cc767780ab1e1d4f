"""Sinks against the real thing: a broker, a web server, a full disk, a reader that goes away."""

import argparse
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from conftest import ROOT, run_module
from device import edge, flat, free_port, process, wait_for

from edge.drift import Drift
from edge.errors import UserError
from edge.files import whole
from edge.model.classifier import Result
from edge.sinks.base import Ended, Moment, Sink
from edge.sinks.csv import CsvFile
from edge.sinks.hooks import Command, WebHook
from edge.sinks.mqtt import Mqtt
from edge.sinks.parts import Keep, parse_keep
from edge.sinks.queued import Queued
from edge.sinks.video import Recorder
from edge.smoothing import Event
from edge.sources.base import Frame, Signal
from edge.web.metrics import render


def moment(label: str = "red", score: float = 0.9, event: bool = True, image: np.ndarray | None = None) -> Moment:
    other = "blue" if label == "red" else "red"
    result = Result(label, score, ((label, score), (other, 1 - score)), {"total": 1.0}, np.array([score, 1 - score]))
    frame = Frame(flat(200, 20) if image is None else image, 7, "cam", 0.0)
    change = Event("", label, score) if event else None
    return Moment(frame, result, label, change, 10.0, 3, 1, time.time(), score)


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


def test_a_sink_that_fails_again_is_told_again(capfd: pytest.CaptureFixture[str]) -> None:
    class Faulty(Sink):
        def write(self, moment: Moment) -> None:
            if moment.result.label == "blue":
                raise TimeoutError  # says nothing itself

        def close(self) -> None:
            raise OSError("no space left")

    queued = Queued("faulty", Faulty(), wait=True)
    for label in ("blue", "blue", "red", "blue"):
        queued.write(moment(label))
    queued.close()
    assert queued.lost == 3
    assert capfd.readouterr().err == "faulty: TimeoutError\nfaulty: TimeoutError\nfaulty: no space left\n"


@pytest.mark.parametrize("wanted", [True, False])
def test_pictures_wait_only_for_a_sink_that_looks_at_them(wanted: bool) -> None:
    class Kept(Sink):
        pictures = wanted

        def __init__(self) -> None:
            self.moments: list[Moment] = []

        def write(self, moment: Moment) -> None:
            self.moments.append(moment)

    kept, given = Kept(), moment()
    queued = Queued("kept", kept, wait=True)
    queued.write(given)
    queued.close()
    assert kept.moments[0].frame.image.nbytes == (given.frame.image.nbytes if wanted else 0)
    assert (kept.moments[0].frame.index, kept.moments[0].result) == (7, given.result)


def test_the_sinks_that_keep_frames_get_them() -> None:
    from edge.sinks.unsure import Uncertain
    from edge.sinks.video import Recorder, Sheet

    assert all(kind.pictures for kind in (Recorder, Sheet, Uncertain))


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
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
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


def test_a_torn_last_line_takes_no_row_with_it(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    for _ in range(2):
        sink = CsvFile(path)
        sink.write(moment())
        sink.close()
        path.write_bytes(path.read_bytes()[:-20])  # a power cut
    sink = CsvFile(path)
    sink.write(moment("after"))
    sink.close()
    rows = list(csv.reader(path.read_text().splitlines()))
    assert [len(row) == 8 for row in rows] == [True, False, False, True]
    assert rows[-1][3] == "after"


def test_rows_end_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at every so many rows; then every row is refused, so that the queue tells it once, until there is room."""
    sink, full = CsvFile(tmp_path / "out.csv"), [False]
    monkeypatch.setattr("edge.sinks.csv.nearly_full", lambda path: full[0])
    sink.write(moment())
    full[0] = True
    for _ in range(CsvFile.EVERY - 1):
        sink.write(moment())
    for _ in range(3):
        with pytest.raises(OSError, match="nearly full"):
            sink.write(moment())
    full[0] = False
    sink.write(moment())
    sink.close()
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + CsvFile.EVERY + 1


def test_a_full_disk_leaves_no_half_row(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.files.SPARE", 0)
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
    rows = list(csv.reader((small_disk / "out.csv").read_text().splitlines()))
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


def frames_of(path: Path) -> int:
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


@pytest.mark.parametrize("name", ["o.mp4", "o.avi"])
def test_a_video_outlives_a_run_that_is_killed(name: str, tiny_model: Path, tmp_path: Path) -> None:
    """And the next run keeps it under another name, so that a service that is started anew loses nothing."""
    out = tmp_path / name
    part = tmp_path / f"o.unfinished{out.suffix}"
    arguments = ("run", tiny_model, "--source", "test:", "--fps", 60, "--record", out, "--json")
    with edge(*arguments, stdout=subprocess.DEVNULL) as job:
        wait_for(lambda: part.exists() and part.stat().st_size > 1 << 18, 60)
        job.kill()
    assert [path.name for path in tmp_path.iterdir()] == [part.name]
    recorded = frames_of(part)
    assert recorded > 10
    with edge(*arguments, stdout=subprocess.DEVNULL) as job:
        wait_for(lambda: list(tmp_path.glob("o-2*")), 60)
        wait_for(lambda: part.exists() and part.stat().st_size > 1 << 18, 60)
        job.send_signal(signal.SIGTERM)
        _, errors = job.communicate(timeout=30)
    kept = next(tmp_path.glob("o-2*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, kept.name])
    assert str(kept) in errors
    assert frames_of(kept) == recorded
    assert frames_of(out) > 10


def test_what_has_no_frame_yet_is_no_video(tmp_path: Path) -> None:
    for content in (b"", b"\0\0\0\x18ftypisom"):
        (tmp_path / "o.unfinished.mp4").write_bytes(content)
        Recorder(tmp_path / "o.mp4", 10.0).close()
        assert list(tmp_path.iterdir()) == []


def test_a_recorded_mp4_says_that_it_is_one(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "o.mp4", 10.0)
    recorder.write(moment())
    recorder.close()
    start = (tmp_path / "o.mp4").read_bytes()[:24]
    assert (start[4:12], start[16:24]) == (b"ftypisom", b"isomiso2")


@pytest.mark.parametrize(
    ("live", "pause", "frames"),
    [
        (True, 0.25, 246),  # a slow model: 10 frames in each 2.5 s, and the last
        (True, 0.02, 21),  # one that is faster than the file
        (True, 0.1, 99),  # as fast
        (True, 3600.0, 98 * 100 + 1),  # a camera that is silent for hours makes no hours of video
        (False, 0.25, 99),  # a file: every frame once
    ],
)
def test_a_live_recording_keeps_the_time(live: bool, pause: float, frames: int, tmp_path: Path) -> None:
    recorder, start = Recorder(tmp_path / "o.avi", 10.0, live), moment()
    for number in range(99):
        recorder.write(replace(start, frame=replace(start.frame, captured=1000 + number * pause)))
    recorder.close()
    assert abs(frames_of(tmp_path / "o.avi") - frames) <= (1 if live else 0)


def test_a_recording_of_a_large_camera_is_made_smaller(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "o.mp4", 10.0)
    recorder.write(moment(image=np.zeros((3040, 4056, 3), np.uint8)))
    recorder.close()
    image = cv2.VideoCapture(str(tmp_path / "o.mp4")).read()[1]
    assert image.shape == (1438, 1920, 3)  # 1920 * 3040 / 4056 = 1439.05, to an even side


def _grey_pictures(folder: Path) -> Path:
    (folder / "grey").mkdir()
    for number in range(20):
        cv2.imwrite(str(folder / "grey" / f"{number:02}.png"), flat(120, 118))
    return folder / "grey"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "labels.txt", []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append((os.fstat(handle).st_size, path.exists())))
    with whole(path) as part:
        part.write_text("horses")
    assert synced == [(6, False)]


def noise(seed: int, side: int = 12) -> np.ndarray:
    """A BGR uint8 frame (120, 160, 3) of coloured fields, another one for each seed."""
    fields = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    return cv2.resize(fields, (160, 120), interpolation=cv2.INTER_NEAREST)


def test_uncertain_frames_are_kept_within_limits(tmp_path: Path) -> None:
    from edge.sinks.unsure import Uncertain

    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "mine.jpg").write_bytes(b"of the user")
    sink = Uncertain(tmp_path, every=0.0, limit=60_000)
    sink.write(moment("red", 0.95, image=noise(0)))
    assert len(list(tmp_path.rglob("2*.jpg"))) == 0  # sure of it
    for number in range(12):
        sink.write(moment("red", 0.55, image=noise(number)))
    kept = sorted(tmp_path.rglob("2*.jpg"))
    assert 1 < len(kept) < 12
    assert sum(path.stat().st_size for path in kept) <= 60_000
    assert (tmp_path / "red" / "mine.jpg").exists()
    limited = Uncertain(tmp_path / "rate", every=60.0)
    for number in range(5):
        limited.write(moment("red", 0.55, image=noise(number)))
    assert len(list((tmp_path / "rate").rglob("*.jpg"))) == 1


def test_a_scene_that_stands_still_is_kept_once(tmp_path: Path) -> None:
    """Through noise, light that changes and a restart; what is new in it is kept: a thing, another colour of it."""
    from edge.sinks.unsure import Uncertain

    random, scene = np.random.default_rng(1), noise(5).astype(np.float32)

    def seen(light: float = 1.0, thing: tuple[int, int, int] | None = None) -> np.ndarray:
        frame = scene * 0.6 * light + random.normal(0, 6, scene.shape)
        if thing:
            frame[40:60, 70:95] = thing  # a 38th of the picture
        return frame.clip(0, 255).astype(np.uint8)

    def kept() -> int:
        return len(list(tmp_path.rglob("*.jpg")))

    for run in range(2):
        sink = Uncertain(tmp_path, every=0.0)
        for number in range(30):
            sink.write(moment("red", 0.55, image=seen(0.8 + number / 75)))
        assert kept() == (1 if run == 0 else 3)
        for colour in ((20, 20, 230), (230, 20, 20)):
            for _ in range(3):
                sink.write(moment("red", 0.55, image=seen(thing=colour)))
        assert kept() == 3


def test_on_a_nearly_full_disk_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the new one takes; without an old one nothing is saved."""
    from edge.sinks.unsure import Uncertain

    sink = Uncertain(tmp_path, every=0.0)
    for number in range(10):
        sink.write(moment("red", 0.55, image=noise(number)))
    before = sorted(tmp_path.rglob("*.jpg"))
    for module in ("edge.sinks.unsure", "edge.store"):
        monkeypatch.setattr(f"{module}.nearly_full", lambda path: True)
    sink.write(moment("red", 0.55, image=noise(99)))
    after = sorted(tmp_path.rglob("*.jpg"))
    assert after[-1] not in before
    assert set(after[:-1]) < set(before)
    assert 5 < len(after) <= len(before)
    assert before[0] not in after
    empty = Uncertain(tmp_path / "empty", every=0.0)
    with pytest.raises(UserError, match="nearly full"):
        empty.write(moment("red", 0.55, image=noise(3)))


def test_uncertain_frames_of_an_earlier_run_count_and_no_others(tmp_path: Path) -> None:
    """What collect and the page saved, and what the user sorted away, is never deleted: whatever it looks like."""
    from edge.sinks.unsure import Uncertain
    from edge.store import SaveFolder

    users = [SaveFolder(tmp_path).save(label, noise(1)) for label in ("red", "blue", "red")]
    sink = Uncertain(tmp_path, every=0.0)
    for number in range(4):
        sink.write(moment("red", 0.55, image=noise(number)))
    earlier = sorted((tmp_path / "red").glob("*-red-unsure*.jpg"))
    assert len(earlier) == 4
    users.append(earlier[0].rename(tmp_path / "blue" / earlier[0].name))  # it was wrong there
    users.append(earlier[1].rename(tmp_path / "red" / "a-good-one.jpg"))
    sink = Uncertain(tmp_path, every=0.0, limit=1)
    sink.write(moment("red", 0.55, image=noise(9)))
    assert all(path.exists() for path in users)
    left = set(tmp_path.rglob("*.jpg")) - set(users)
    assert len(left) == 1  # the newest
    assert left.isdisjoint(earlier)


@pytest.mark.parametrize(
    ("text", "seconds", "size"),
    [("30d", 30 * 86400, None), ("0.5d", 43200, None), ("500MB", None, 5e8), ("2GB", None, 2e9)],
)
def test_what_is_kept(text: str, seconds: float | None, size: float | None) -> None:
    infinite = float("inf")
    assert parse_keep(text) == Keep(seconds or infinite, size or infinite)


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "5TB", "1e3d", "nan d"])
def test_bad_limits_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="30d"):
        parse_keep(text)


def test_rows_are_kept_by_size(tmp_path: Path) -> None:
    """In parts, each with its header; other files of like names stay."""
    other = tmp_path / "out-mine.csv"
    other.write_text("mine")
    sink = CsvFile(tmp_path / "out.csv", Keep(size=40_000))
    for _ in range(3000):
        sink.write(moment())
    sink.close()
    parts = sorted(tmp_path.glob("out-2*.csv"))
    assert 3 <= len(parts) <= 8
    assert sum(path.stat().st_size for path in [*parts, tmp_path / "out.csv"]) <= 40_000
    for part in parts:
        assert part.read_text().startswith("time,source,frame")
    assert other.exists()
    CsvFile(tmp_path / "out.csv", Keep(size=40_000)).close()  # a run that is started anew begins a part
    assert (tmp_path / "out.csv").read_text().count("\n") == 1


def test_old_parts_go_by_days(tmp_path: Path) -> None:
    for days in (1, 9, 11):
        path = tmp_path / f"out-202601{days:02}-000000.csv"
        path.write_text("x")
        os.utime(path, (time.time() - days * 86400,) * 2)
    (tmp_path / "out.csv").write_text("rows")
    CsvFile(tmp_path / "out.csv", Keep(seconds=10 * 86400)).close()
    left = sorted(path.name for path in tmp_path.glob("out-202601*"))
    assert left == ["out-20260101-000000.csv", "out-20260109-000000.csv"]


def test_a_recording_is_kept_by_size(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "o.avi", 10.0, live=False, keep=Keep(size=2_000_000))
    for number in range(600):
        recorder.write(moment(image=noise(number)))
    recorder.close()
    parts = list(tmp_path.iterdir())
    assert len(parts) >= 4
    assert all(path.name.startswith("o-2") and frames_of(path) > 10 for path in parts)
    assert sum(path.stat().st_size for path in parts) <= 2_000_000


def test_a_long_label_is_a_name_still(tmp_path: Path) -> None:
    from edge.sinks.unsure import Uncertain

    for _ in range(2):
        sink = Uncertain(tmp_path, every=0.0, limit=1)
        sink.write(moment("雪" * 100, 0.55))
    assert len(list(tmp_path.rglob("*.jpg"))) == 1


@pytest.mark.parametrize("label", ["", "..", "a/b", ".hidden", "x" * 81, "a\nb", "c:d"])
def test_a_label_that_cannot_name_a_folder_is_refused(label: str, tmp_path: Path) -> None:
    from edge.store import SaveFolder

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
        got: ClassVar[list[tuple[int, Any]]] = []

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
            (config,) = (json.loads(text) for topic, text in heard.items() if topic.endswith("label/config"))
            assert config["state_topic"] == "yard/cam/state"
        heard.clear()
        assert job.poll() is None  # the run goes on without its broker
        with process(*broker, **quiet):  # this one remembers nothing
            wait_for(lambda: "yard/cam/state" in heard, 20)
            job.kill()
            wait_for(lambda: heard["yard/cam/availability"] == "offline", 20)
        listener.loop_stop()


@pytest.mark.skipif(not Path(BROKER).exists(), reason="mosquitto is not installed")
def test_a_drift_is_published_and_retained(tmp_path: Path) -> None:
    """Who asks later hears it too; a state that is as before is not sent again."""
    paho = pytest.importorskip("paho.mqtt.client")
    port = free_port()
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    heard: list[tuple[str, str]] = []

    def listen() -> Any:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.on_message = lambda client, data, message: heard.append((message.topic, message.payload.decode()))
        client.on_connect = lambda client, *_: client.subscribe([("cam/drift", 1), ("cam/camera", 1)])
        client.connect("127.0.0.1", port)
        client.loop_start()
        return client

    with process(BROKER, "-c", tmp_path / "mosquitto.conf", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_for(lambda: not refused(port), 20)
        first = listen()
        sink = Mqtt(f"mqtt://127.0.0.1:{port}/cam", "model")
        usual = Signal(drift=Drift(None, 0.874, 0.9, 1.0))
        strange = Signal(drift=Drift(1_800_000_000.0, 0.31, 0.9, 1e5))
        wait_for(lambda: ("cam/camera", "online") in heard, 20)
        heard.clear()
        for signal in (Signal(), usual, usual, strange, strange):
            sink.tick(signal)
        wait_for(lambda: len(heard) >= 2, 20)
        late = listen()
        wait_for(lambda: len(heard) >= 4, 20)  # with the state of the camera
        sink.close()
        for client in (first, late):
            client.disconnect()
            client.loop_stop()
    moved = {"since": "2027-01-15T08:00:00.000+00:00", "likeness": 0.31, "usual": 0.9}
    told = [json.loads(text) for topic, text in heard if topic == "cam/drift"]
    assert told == [{"since": None, "likeness": 0.87, "usual": 0.9}, moved, moved]


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


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
