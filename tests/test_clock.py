"""A wall clock that jumps, as that of a Pi without a battery does when it first hears of the time."""

import json
import os
import signal
import threading
import time
from datetime import datetime
from pathlib import Path

import cv2
from device import edge, flat, free_port, wait_for
from test_preview import next_

# Python runs this at the start of a process: the wall clock, as Python code sees it, is off by what a file says.
SITECUSTOMIZE = """
import os, time
real = time.time
def jumped():
    with open(os.environ["CLOCK_OFFSET"]) as file:
        return real() + float(file.read())
time.time = jumped
"""


def test_a_clock_that_jumps_changes_nothing_but_the_time_that_is_told(tiny_model: Path, tmp_path: Path) -> None:
    """A day back, then three days on: frames keep their rate, pauses are kept, the page says live."""
    clock, out, kept, port = tmp_path / "clock", tmp_path / "out.jsonl", tmp_path / "kept", free_port()

    def jump(text: str) -> None:
        (tmp_path / "next").write_text(text)
        (tmp_path / "next").replace(clock)

    jump("0")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    fake = {"PYTHONPATH": str(tmp_path / "site"), "CLOCK_OFFSET": str(clock)}
    arguments = (
        "run", tiny_model, "--source", "-", "--json", "--smooth", "3/5", "--threshold", 1,
        "--save-uncertain", kept, "--preview", port, "--exec", "true",
    )  # fmt: skip

    def lines() -> int:
        return out.read_text().count("\n")

    reader, writer = os.pipe()  # 20 frames a second; this end keeps the true time
    picture, ended = cv2.imencode(".jpg", flat(120, 118))[1].tobytes(), threading.Event()

    def feed() -> None:
        while not ended.wait(0.05):
            os.write(writer, picture)

    threading.Thread(target=feed, daemon=True).start()
    counts = []
    with out.open("w") as file, edge(*arguments, stdin=reader, stdout=file, env={**os.environ, **fake}) as job:
        wait_for(lambda: lines() > 5, 30)
        start = time.monotonic()
        for offset in ("0", "-86400", "259200"):
            jump(offset)
            before = lines()
            time.sleep(2)
            counts.append(lines() - before)
            state, _ = next_(port)
            assert state["signal"] is True
            assert state["age"] < 1
        seconds = time.monotonic() - start
        job.send_signal(signal.SIGTERM)
        _, errors = job.communicate(timeout=20)
        ended.set()
    assert job.returncode == 0, errors
    assert "lost" not in errors.replace(", 0 lost", "")
    found = [json.loads(line) for line in out.read_text().splitlines()]
    times = [datetime.fromisoformat(line["time"]).timestamp() for line in found]
    assert max(times) - min(times) > 3.9 * 86400  # it did jump
    assert all(20 <= count <= 60 for count in counts), counts
    assert all(0 <= value < 1000 for line in found for value in line["ms"].values())
    assert 1 <= len(list(kept.rglob("*.jpg"))) <= seconds / 2 + 2  # one in two seconds at most, whatever the clock says
