"""Runs a `.tflite` file on pictures as a device would: a process of its own, `edge` alone, no TensorFlow.

    python -m convert.device MODEL RUNTIME THREADS OUT.npz < paths

Reads one picture path a line; writes the scores (pictures, labels), the milliseconds of bare invocations, and the
peak of resident memory in bytes. A model that kills its runtime kills only this process.
"""

import resource
import sys
import time

import numpy as np

from edge.classifier import Classifier
from edge.cli import run_command
from edge.pictures import read_picture
from edge.preprocess import prepare

_INVOCATIONS = 100


def main() -> None:
    model, runtime, threads, out = sys.argv[1:]
    paths = [line.rstrip("\n") for line in sys.stdin]
    classifier = Classifier(model, runtime=runtime, threads=int(threads))
    scores = [classifier.scores(read_picture(path)) for path in paths]
    tensor = prepare(read_picture(paths[0]), classifier.spec, classifier.interpreter.input)
    milliseconds = []
    for _ in range(_INVOCATIONS):
        start = time.perf_counter()
        classifier.interpreter.invoke(tensor)
        milliseconds.append((time.perf_counter() - start) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    np.savez(out, scores=np.stack(scores), milliseconds=milliseconds, peak=peak)


if __name__ == "__main__":
    run_command(main)
