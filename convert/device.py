"""Runs a `.tflite` file as a device would: a process of its own, `edge` alone, no TensorFlow.

    python -m convert.device scores MODEL RUNTIME THREADS OUT.npz < paths
    python -m convert.device speed MODEL RUNTIME THREADS OUT.npz < paths

`scores` runs all pictures (paths with a zero byte between), one runtime a core, and writes the scores (pictures,
labels); it prints a line a picture. `speed` runs the first picture again and again with all threads, and writes the
milliseconds of bare invocations, warm, and the peak of resident memory. A model that kills its runtime kills only this
process.
"""

import importlib.util
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from edge.cli import run_command
from edge.model.classifier import Classifier
from edge.model.interpreter import RUNTIMES
from edge.model.preprocess import prepare
from edge.pictures import read_picture

_INVOCATIONS = 20, 200  # at least, and at most
_SECONDS = 3.0  # enough of it, between the two


def device_runtimes() -> list[str]:
    """The runtimes of a device that are installed here, the preferred one first."""
    found = [name for name, module in RUNTIMES.items() if importlib.util.find_spec(module.split(".")[0])]
    return [name for name in found if name != "tensorflow"] or found


def main() -> None:
    job, model, runtime, threads, out = sys.argv[1:]
    paths = [os.fsdecode(name) for name in sys.stdin.buffer.read().split(b"\0")]
    np.savez(out, **{"scores": scores, "speed": speed}[job](model, runtime, int(threads), paths))


def scores(model: str, runtime: str, threads: int, paths: list[str]) -> dict[str, np.ndarray]:
    free: SimpleQueue[Classifier] = SimpleQueue()
    for _ in range(threads):
        free.put(Classifier(model, runtime=runtime, threads=1))

    def one(path: str) -> np.ndarray:
        classifier = free.get()
        try:
            return classifier.scores(read_picture(path))
        finally:
            free.put(classifier)
            print(flush=True)

    with ThreadPoolExecutor(threads) as pool:
        return {"scores": np.stack(list(pool.map(one, paths)))}


def speed(model: str, runtime: str, threads: int, paths: list[str]) -> dict[str, np.ndarray]:
    with Classifier(model, runtime=runtime, threads=threads) as classifier:
        tensor = prepare(read_picture(paths[0]), classifier.spec, classifier.interpreter.input)
        milliseconds: list[float] = []
        begun = time.perf_counter()
        while len(milliseconds) < _INVOCATIONS[0] or (
            len(milliseconds) < _INVOCATIONS[1] and time.perf_counter() - begun < _SECONDS
        ):
            start = time.perf_counter()
            classifier.interpreter.invoke(tensor)
            milliseconds.append((time.perf_counter() - start) * 1e3)
    return {"milliseconds": np.array(milliseconds), "peak": np.array(peak_bytes())}


def peak_bytes() -> int:
    """The peak of resident memory of this process. Linux hands ru_maxrss on from the parent, so not that there."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    run_command(main)
