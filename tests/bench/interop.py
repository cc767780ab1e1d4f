"""Which program runs which file, and whether it gives LiteRT's label: programs that know nothing of FrostLite.

    python -m tests.bench.interop runs/photos              print the table
    python -m tests.bench.interop runs/photos docs/measured.md    and put it there

Every program gets the same picture, resized as the contract says. MediaPipe runs in an environment of its own
(`.cache/mediapipe`, made here), because it brings another OpenCV.
"""

import json
import multiprocessing
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import cv2
import numpy as np

from convert.parity import scores
from edge.model.contract import read_model
from edge.model.preprocess import prepare, resize
from tests.bench.table import ROOT, markdown, put
from train.rundir import Run, read_run

MEDIAPIPE = """
import json, sys, cv2, mediapipe
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]), max_results=1)
with vision.ImageClassifier.create_from_options(options) as classifier:
    for path in sys.argv[2:]:
        pixels = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        print(classifier.classify(image).classifications[0].categories[0].category_name)
"""


def mediapipe_python() -> Path:
    """The Python of an environment that has MediaPipe."""
    folder = ROOT / ".cache" / "mediapipe"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "mediapipe"], check=True)
    return python


def in_mediapipe(model: Path, run: Run, pictures: list[Path]) -> list[str] | str:
    job = subprocess.run(
        [mediapipe_python(), "-c", MEDIAPIPE, model, *pictures], capture_output=True, text=True, timeout=600
    )
    return job.stdout.split("\n")[:-1] if job.returncode == 0 else "refuses"


def in_opencv(model: Path, run: Run, pictures: list[Path]) -> list[str] | str:
    """In a process of its own: some files end it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_opencv, model, run, pictures).result()
        except BrokenProcessPool:
            return "crashes"


def _opencv(model: Path, run: Run, pictures: list[Path]) -> list[str] | str:
    try:
        net = cv2.dnn.readNetFromTFLite(np.frombuffer(read_model(model).graph, np.uint8))
        found = []
        for path in pictures:
            net.setInput(prepare(cv2.imread(str(path)), run.spec).transpose(0, 3, 1, 2))
            found.append(run.spec.labels[int(net.forward().argmax())])
        return found
    except cv2.error:
        return "refuses"


def in_runtime(name: str, model: Path, run: Run) -> list[str] | str:
    found = scores(model, run.validation, name)
    return "refuses" if isinstance(found, str) else [run.spec.labels[i] for i in found.argmax(axis=1)]


def table(run: Run) -> list[list[str]]:
    """Rows of cells, the heading first."""
    rows = [["", "LiteRT", "tflite-runtime", "TensorFlow", "MediaPipe Tasks", "OpenCV DNN"]]
    report = json.loads((run.folder / "export" / "report.json").read_text())
    with tempfile.TemporaryDirectory() as name:
        pictures = [Path(name) / f"{number:05}.png" for number in range(len(run.validation))]
        for picture, path in zip(run.validation, pictures, strict=True):
            cv2.imwrite(str(path), resize(picture.frame(run.spec), run.spec.size, run.spec.resize))
        for variant in report["variants"]:
            model = run.folder / "export" / variant["file"]
            expected = in_runtime("ai-edge-litert", model, run)
            answers = [expected, in_runtime("tflite-runtime", model, run), in_runtime("tensorflow", model, run)]
            answers += [in_mediapipe(model, run, pictures), in_opencv(model, run, pictures)]
            rows.append([f"`{variant['scheme']}`", *(_told(found, expected) for found in answers)])
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _told(found: list[str] | str, expected: list[str] | str) -> str:
    if isinstance(found, str):
        return found
    return f"{100 * np.mean([a == b for a, b in zip(found, expected, strict=True)]):.4g} %"


if __name__ == "__main__":
    made = markdown(table(read_run(sys.argv[1])))
    print(made)
    if len(sys.argv) > 2:
        put(Path(sys.argv[2]), "interop", made)
