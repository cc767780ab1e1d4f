"""Frame to label, against what one would use instead: the same pictures, the same cores, one process each.

    python -m tests.bench.peers runs/photos              print the table
    python -m tests.bench.peers runs/photos docs/measured.md    and put it there

ONNX Runtime gets the float model through tf2onnx (both in `.cache/peers`, made here). The pictures are in memory as
frames; what is timed is all from there to the label, preprocessing included. Median over the pictures, warm.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge.model.contract import read_model
from edge.model.preprocess import prepare
from tests.bench.table import ROOT, markdown, put
from train.rundir import Run, read_run

PICTURES = 60
PACKAGES = ROOT / ".cache" / "peers"
Classify = Callable[[np.ndarray], int]


def runtime(name: str, scheme: str) -> Callable[[Run], Classify]:
    def make(run: Run) -> Classify:
        from edge.model.classifier import Classifier

        classifier = Classifier(run.folder / "export" / f"{scheme}.tflite", runtime=name)
        return lambda frame: run.spec.labels.index(classifier.classify(frame).label)

    return make


def opencv(run: Run) -> Classify:
    graph = read_model(run.folder / "export" / "float32.tflite").graph
    net = cv2.dnn.readNetFromTFLite(np.frombuffer(graph, np.uint8))

    def classify(frame: np.ndarray) -> int:
        net.setInput(prepare(frame, run.spec).transpose(0, 3, 1, 2))
        return int(net.forward().argmax())

    return classify


def onnx(run: Run) -> Classify:
    if not PACKAGES.exists():
        install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", PACKAGES]
        subprocess.run([*install, "tf2onnx", "onnx", "onnxruntime"], check=True)
    sys.path.append(str(PACKAGES))
    graph = run.folder / "export" / "float32.onnx"
    if not graph.exists():
        command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", run.folder / "export" / "float32.tflite"]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
        subprocess.run([*command, "--output", graph], check=True, capture_output=True, env=environment)
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda frame: int(session.run(None, {name: prepare(frame, run.spec)})[0].argmax())


def keras_predict(run: Run) -> Classify:
    from train.keras import keras

    model = keras.models.load_model(run.folder / "model.keras", compile=False)
    return lambda frame: int(model.predict(prepare(frame, run.spec), verbose=0).argmax())


PEERS = {
    "FrostLite int8 (LiteRT)": runtime("ai-edge-litert", "int8"),
    "FrostLite float32 (LiteRT)": runtime("ai-edge-litert", "float32"),
    "int8 in tflite-runtime": runtime("tflite-runtime", "int8"),
    "float32 in tflite-runtime": runtime("tflite-runtime", "float32"),
    "float32 in OpenCV DNN": opencv,
    "float32 in ONNX Runtime": onnx,
    "Keras `predict`": keras_predict,
}


def measure(name: str, folder: str) -> None:
    """Print the median milliseconds and the accuracy of one peer."""
    run = read_run(folder)
    pictures = run.validation[:: max(1, len(run.validation) // PICTURES)]
    frames = [picture.frame(run.spec) for picture in pictures]
    classify = PEERS[name](run)
    for frame in frames[:5]:
        classify(frame)
    times, right = [], 0
    for picture, frame in zip(pictures, frames, strict=True):
        start = time.perf_counter()
        label = classify(frame)
        times.append((time.perf_counter() - start) * 1e3)
        right += label == picture.label
    print(float(np.median(times)), right / len(pictures))


def main(folder: str) -> str:
    rows = [["frame to label", "ms (median)", "times FrostLite int8", "accuracy"]]
    first = 0.0
    for name in PEERS:
        command = [sys.executable, "-m", "tests.bench.peers", "--one", name, folder]
        job = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if job.returncode:
            print(f"{name}: {job.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            rows.append([name, "does not run", "", ""])
            continue
        milliseconds, accuracy = map(float, job.stdout.split()[-2:])
        first = first or milliseconds
        rows.append([name, f"{milliseconds:.1f}", f"{milliseconds / first:.1f}", f"{100 * accuracy:.1f} %"])
    return markdown(rows)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        measure(*sys.argv[2:])
    else:
        made = main(str(Path(sys.argv[1]).resolve()))
        print(made)
        if len(sys.argv) > 2:
            put(Path(sys.argv[2]), "peers", made)
