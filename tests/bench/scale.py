"""Ten times the pictures: ten times as long, the same memory.

    python -m tests.bench.scale                  10,000 and 100,000 generated pictures
    python -m tests.bench.scale 1000 10000

Each count is one `python -m train` with an empty cache: a small backbone with random weights, three epochs. Memory is
the peak of what belongs to the process alone; the cached features are mapped from disk, and the system may drop them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from tests.bench.table import ROOT, markdown

COUNTS = 10_000, 100_000
SIDE = 64
OPTIONS = ["--backbone", "mobilenet-v1", "--width", "0.25", "--weights", "none", "--size", str(SIDE)]
OPTIONS += ["--epochs", "3", "--patience", "0"]


def write_pictures(root: Path, count: int) -> None:
    """JPEGs of noise in two tints, a tenth of them for validation, at most 1000 to a folder."""

    def write(number: int) -> None:
        random = np.random.default_rng(number)
        label = number % 2
        pixels = random.integers(0, 160, (SIDE, SIDE, 3), np.uint8)
        pixels[..., 2 * label] += np.uint8(60)
        split = "validation" if number % 20 < 2 else "train"
        cv2.imwrite(str(folder(split, label, number) / f"{number}.jpg"), pixels)

    def folder(split: str, label: int, number: int) -> Path:
        return root / split / ("blue", "red")[label] / str(number // 1000)

    for split in ("train", "validation"):
        for label in range(2):
            for number in range(0, count, 1000):
                folder(split, label, number).mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(write, range(count)):
            pass


def own_memory(process: int) -> int:
    """Bytes that belong to a process alone; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


def measure(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder / "data", count)
        command = [sys.executable, "-m", "train", "--data", folder / "data", "--out", folder / "run", *OPTIONS]
        environment = {**os.environ, "FROSTLITE_CACHE": str(folder / "cache")}
        started, peak = time.perf_counter(), 0
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as job:
            while job.poll() is None:
                peak = max(peak, own_memory(job.pid))
                time.sleep(0.05)
        if job.returncode:
            raise SystemExit(job.returncode)
        seconds = json.loads((folder / "run" / "metrics.json").read_text())["seconds"]
        return {**seconds, "whole": time.perf_counter() - started, "peak": peak / 1e6}


def main(counts: list[int]) -> str:
    rows = [["pictures", "features, s", "fit, s", "whole command, s", "memory, MB"]]
    for count in counts:
        found = measure(count)
        rows.append([f"{count:,}", *(f"{found[name]:.0f}" for name in ("features", "fit", "whole", "peak"))])
        print(rows[-1], file=sys.stderr, flush=True)
    return markdown(rows)


if __name__ == "__main__":
    print(main([int(word) for word in sys.argv[1:]] or list(COUNTS)))
