"""Frames for long, of a camera that dies every 10,000, with page, two viewers that come and go, CSV and unsure frames.

    python -m tests.bench.soak MODEL [FRAMES]       1,000,000 by default

Prints one JSON object: frames a second, reopenings, and for each fiftieth of the run the resident kilobytes, the most
threads and the most open files. A process of its own, for TensorFlow in it would hide what the runner takes.
"""

import http.client
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from edge import Classifier
from edge.live import run
from edge.sinks.base import Ended, Moment, Sink
from edge.sinks.csv import CsvFile
from edge.sinks.parts import Keep
from edge.sinks.queued import Queued
from edge.sinks.unsure import Uncertain
from edge.smoothing import exponential
from edge.sources import live
from edge.sources.base import Mode
from edge.store import SaveFolder
from edge.web.preview import Preview

DIES = 10_000  # frames after which the camera fails
WINDOWS = 50


class Mortal:
    """A camera of 640x480 pixels that is faster than any model, changes its scene, and fails after so many frames."""

    scenes = np.random.default_rng(0).integers(0, 255, (40, 480, 640, 3), np.uint8)

    def __init__(self, text: str, mode: Mode) -> None:
        self.mode, self.count = Mode(640, 480, 1000.0), 0

    def grab(self) -> bool:
        self.count += 1
        time.sleep(0.0002)
        if self.count > DIES:
            raise OSError("it dies")
        return True

    def retrieve(self) -> np.ndarray:
        scene = self.scenes[self.count // 100 % len(self.scenes)].copy()
        scene[:, :, self.count // 50 % 3] //= 4  # so that labels change, and some are unsure
        return scene

    def close(self) -> None:
        pass


class Watch(Sink):
    """Resident kilobytes at the end of each window, and the most threads and open files within it."""

    def __init__(self, frames: int) -> None:
        self.frames, self.seen = frames, 0
        self.windows: list[tuple[int, int, int]] = []
        self._threads = self._files = 0

    def write(self, moment: Moment) -> None:
        self.seen += 1
        if self.seen % 50 == 0:
            self._threads = max(self._threads, threading.active_count())
            self._files = max(self._files, sum(1 for _ in Path("/proc/self/fd").iterdir()))
        if self.seen % (self.frames // WINDOWS) == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.windows.append((pages * os.sysconf("SC_PAGE_SIZE") // 1024, self._threads, self._files))
            print(f"{self.seen:,} frames: {self.windows[-1]}", file=sys.stderr, flush=True)
            self._threads = self._files = 0
        if self.seen == self.frames:
            raise Ended


def view(port: int, ended: threading.Event, seen: list[int]) -> None:
    """A viewer: looks for a while, goes, and comes back; half of the times it leaves without a word."""
    for number in range(sys.maxsize):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", ("/stream.mjpg", "/events", "/metrics", "/")[number % 4])
            answer = connection.getresponse()
            end = time.monotonic() + 1
            while not ended.is_set() and time.monotonic() < end and (data := answer.read1(1 << 16)):
                seen[0] += len(data)
        except (OSError, http.client.HTTPException):
            pass
        if number % 2:
            connection.close()
        if ended.wait(0.2):
            return


def main(model: str, frames: int) -> None:
    live._FIRST_PAUSE = 0.01
    with tempfile.TemporaryDirectory() as name, Classifier(model, threads=1, threshold=0.5) as classifier:
        folder, watch, ended, seen = Path(name), Watch(frames), threading.Event(), [0]
        page = Preview("0", "soak", SaveFolder(folder / "saved"), labels=classifier.spec.labels, model=[("file", "m")])
        viewers = [threading.Thread(target=view, args=(page.port, ended, seen), daemon=True) for _ in range(2)]
        for viewer in viewers:
            viewer.start()
        source = live.Live(Mortal, "soak", Mode(), lambda line: None)
        unsure = Uncertain(folder / "unsure", every=0.05, limit=20 << 20)
        rows = CsvFile(folder / "rows.csv", Keep(size=20e6))
        sinks = [watch, page, Queued("csv", rows, wait=False), Queued("unsure", unsure, wait=False)]
        summary = run(classifier, source, sinks, smooth=exponential(0.3))
        ended.set()
        kept = len(list((folder / "unsure").rglob("*.jpg")))
        figures = {"fps": summary["fps"], "reopened": source.reopened, "seen_by_viewers": seen[0], "unsure": kept}
        print(json.dumps(figures | {"windows": watch.windows}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
