"""200,000 frames leave memory and threads as they were: FROSTLITE_SLOW=1 pytest tests/bench/test_soak.py"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from device import flat, make_tiny_model

from edge import Classifier
from edge.live import run
from edge.sinks.base import Moment, Sink
from edge.sinks.csv import CsvFile
from edge.sinks.queued import Queued
from edge.smoothing import exponential
from edge.sources.base import Frame, Source
from edge.store import SaveFolder
from edge.web.preview import Preview

FRAMES = 200_000


def resident() -> int:
    """Kilobytes of this process."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line)


class Flood(Source):
    live = True

    def __iter__(self) -> Iterator[Frame]:
        images = [flat(red, 255 - red) for red in range(0, 256, 5)]
        for index in range(FRAMES):
            yield Frame(images[index // 50 % len(images)], index, "flood", time.monotonic())


class Watch(Sink):
    def __init__(self) -> None:
        self.memory: list[int] = []
        self.threads: set[int] = set()

    def write(self, moment: Moment) -> None:
        if moment.frame.index % 10_000 == 9_999:
            self.memory.append(resident())
            self.threads.add(threading.active_count())


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="takes minutes; FROSTLITE_SLOW=1 runs it")
def test_memory_and_threads_stay_flat(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "tiny.tflite")
    page = Preview("0", "flood", SaveFolder(tmp_path / "saved"), labels=("blue", "red"), model=[("file", "tiny")])
    watch = Watch()
    before = threading.active_count()
    with Classifier(tmp_path / "tiny.tflite", threads=1) as classifier:
        sinks = [watch, page, Queued("csv", CsvFile(Path(os.devnull)), wait=False)]
        summary = run(classifier, Flood("flood"), sinks, smooth=exponential(0.3))
    assert summary["frames"] == FRAMES
    settled = watch.memory[3:]
    print(f"{summary['fps']:.0f} frames/s; memory in kB: {watch.memory}; threads: {watch.threads}")
    assert max(settled) - min(settled) < 4096, watch.memory
    assert len(watch.threads) == 1
    assert threading.active_count() <= before
    assert np.isfinite(summary["total"])
