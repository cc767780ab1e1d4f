"""Runs a `.tflite` file as a device would: a process of its own, `edge` alone, no TensorFlow.

    python -m convert.device scores RUNTIME THREADS OUT.npz MODEL < paths
    python -m convert.device memory RUNTIME THREADS OUT.npz MODEL < paths
    python -m convert.device speed RUNTIME THREADS OUT.npz MODEL… < paths

`scores` runs all pictures (paths with a zero byte between), one runtime a core, and writes the scores (pictures,
labels); it prints a line a picture. The others run the first picture again and again with all threads: `memory` writes
the peak of resident memory, `speed` the milliseconds of bare invocations, warm, of models that take turns, so that a
busy moment falls on all. A model that kills its runtime kills only this process.
"""

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from edge.cli import run_command
from edge.model.classifier import Classifier
from edge.model.interpreter import RUNTIMES
from edge.model.preprocess import prepare
from edge.pictures import read_picture

_TURN = 6  # invocations, the first of which finds the caches full of another model and does not count
_TURNS = 4, 40  # at least, and at most
_SECONDS = 3.0  # enough of it for one model, between the two


def device_runtimes() -> list[str]:
    """The runtimes of a device that are installed here, the preferred one first."""
    found = [name for name, module in RUNTIMES.items() if importlib.util.find_spec(module.split(".")[0])]
    return [name for name in found if name != "tensorflow"] or found


def main() -> None:
    job, runtime, threads, out, *models = sys.argv[1:]
    paths = [os.fsdecode(name) for name in sys.stdin.buffer.read().split(b"\0")]
    np.savez(out, **{"scores": scores, "memory": memory, "speed": speed}[job](models, runtime, int(threads), paths))


def scores(models: list[str], runtime: str, threads: int, paths: list[str]) -> dict[str, np.ndarray]:
    free: SimpleQueue[Classifier] = SimpleQueue()
    for _ in range(threads):
        free.put(Classifier(models[0], runtime=runtime, threads=1))

    def one(path: str) -> np.ndarray:
        classifier = free.get()
        try:
            return classifier.scores(read_picture(path))
        finally:
            free.put(classifier)
            print(flush=True)

    with ThreadPoolExecutor(threads) as pool:
        return {"scores": np.stack(list(pool.map(one, paths)))}


def memory(models: list[str], runtime: str, threads: int, paths: list[str]) -> dict[str, np.ndarray]:
    invoke = _ready(models[0], runtime, threads, paths[0])
    for _ in range(_TURN):
        invoke()
    return {"peak": np.array(peak_bytes())}


def speed(models: list[str], runtime: str, threads: int, paths: list[str]) -> dict[str, np.ndarray]:
    ready = [_ready(model, runtime, threads, paths[0]) for model in models]
    milliseconds: list[list[float]] = [[] for _ in ready]
    begun, (least, most) = time.perf_counter(), _TURNS
    for turn in range(most):
        if turn >= least and time.perf_counter() - begun > _SECONDS * len(ready):
            break
        for invoke, found in zip(ready, milliseconds, strict=True):
            invoke()
            for _ in range(_TURN - 1):
                start = time.perf_counter()
                invoke()
                found.append((time.perf_counter() - start) * 1e3)
    return {"milliseconds": np.array(milliseconds)}


def _ready(model: str, runtime: str, threads: int, path: str) -> Callable[[], np.ndarray]:
    """What invokes a model once with the tensor of a picture."""
    classifier = Classifier(model, runtime=runtime, threads=threads)
    tensor = prepare(read_picture(path), classifier.spec, classifier.interpreter.input)
    return lambda: classifier.interpreter.invoke(tensor)


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
