"""The proof: what each variant says of every validation picture, in each runtime, against the Keras model."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.interpreter import RUNTIMES
from train.dataset import Picture

THREADS = os.cpu_count() or 1


@dataclass(frozen=True)
class Measurement:
    """What one runtime made of one variant.

    Attributes:
        scores: float32 (pictures, labels).
        milliseconds: of bare invocations, warm.
        peak: resident memory of the process at its largest, bytes.
    """

    scores: np.ndarray
    milliseconds: np.ndarray
    peak: int


def device_runtimes() -> list[str]:
    """The runtimes of a device that are installed here, the preferred one first."""
    found = [name for name, module in RUNTIMES.items() if importlib.util.find_spec(module.split(".")[0])]
    return [name for name in found if name != "tensorflow"] or found


def measure(model: Path, pictures: Sequence[Picture], runtime: str) -> Measurement | str:
    """Run a `.tflite` file on pictures, in a process of its own; a sentence if that does not work."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured.npz"
        job = subprocess.run(
            [sys.executable, "-m", "convert.device", str(model.resolve()), runtime, str(THREADS), str(out)],
            input="\n".join(str(picture.path.resolve()) for picture in pictures),
            capture_output=True,
            text=True,
            cwd=Path(__file__).resolve().parent.parent,
        )
        if job.returncode != 0 or not out.exists():
            lines = job.stderr.strip().splitlines()
            if job.returncode == 2 and lines:
                return lines[-1].removeprefix("error: ").removeprefix(f"{model}: ")
            return f"the process ended with status {job.returncode}: {lines[-1] if lines else 'no message'}"
        with np.load(out) as found:
            return Measurement(found["scores"], found["milliseconds"], int(found["peak"]))


def compare(reference: np.ndarray, scores: np.ndarray, pictures: Sequence[Picture]) -> dict:
    """Accuracy, drop in percentage points, agreement and flipped pictures of `scores` against the reference.

    Args:
        reference, scores: (pictures, labels).
    """
    truth = np.array([picture.label for picture in pictures])
    before, after = reference.argmax(axis=1), scores.argmax(axis=1)
    flips = np.flatnonzero(before != after)
    accuracy = float((after == truth).mean())
    return {
        "accuracy": accuracy,
        "drop_points": round(100 * (float((before == truth).mean()) - accuracy), 4),
        "agreement": float((before == after).mean()),
        "flips": [
            {"picture": str(pictures[i].path), "reference": int(before[i]), "variant": int(after[i])} for i in flips
        ],
    }
