"""The proof: what a `.tflite` file says of every validation picture, in each runtime, in processes of their own."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.stats import compare
from edge.model.interpreter import RUNTIMES
from train.dataset import Picture
from train.progress import progress, waiting
from train.rundir import Run

THREADS = os.cpu_count() or 1


def device_runtimes() -> list[str]:
    """The runtimes of a device that are installed here, the preferred one first."""
    found = [name for name, module in RUNTIMES.items() if importlib.util.find_spec(module.split(".")[0])]
    return [name for name in found if name != "tensorflow"] or found


def prove(model: Path, run: Run, reference: np.ndarray, tolerance: float) -> tuple[dict[str, Any], np.ndarray]:
    """All that is measured of a `.tflite` file, as JSON values, and its scores (pictures, labels).

    The figures and the verdict are those of the first runtime that runs it. Another runtime is "ok" if it answers as
    that one does on all pictures but the share that `tolerance` allows.

    Raises:
        RuntimeError: if no runtime runs it.
    """
    answers = {runtime: scores(model, run.validation, runtime) for runtime in device_runtimes()}
    usable = {name: found for name, found in answers.items() if not isinstance(found, str)}
    if not usable:
        raise RuntimeError("no runtime runs it: " + "; ".join(f"{name}: {answers[name]}" for name in answers))
    main, found = next(iter(usable.items()))
    truth = np.array([picture.label for picture in run.validation])
    before, after = reference.argmax(axis=1), found.argmax(axis=1)
    variant = compare(reference, found, truth, run.spec.labels)
    variant["flips"] = [
        {
            "picture": str(run.validation[i].path),
            "label": run.spec.labels[truth[i]],
            "reference": run.spec.labels[before[i]],
            "variant": run.spec.labels[after[i]],
            "scores": [round(float(reference[i].max()), 4), round(float(found[i].max()), 4)],
        }
        for i in np.flatnonzero(before != after)
    ]
    variant |= speed(model, run.validation[0], main)
    variant["runtimes"] = {}
    for name, result in answers.items():
        same = 0.0 if isinstance(result, str) else float((result.argmax(axis=1) == after).mean())
        told = result if isinstance(result, str) else f"runs, but gives the labels of {main} on only {same:.1%}"
        variant["runtimes"][name] = "ok" if 100 * (1 - same) <= tolerance else told
    return variant, found


def scores(model: Path, pictures: Sequence[Picture], runtime: str) -> np.ndarray | str:
    """Scores of all pictures, float32 (pictures, labels); a sentence if the runtime cannot do it."""
    found = _run("scores", model, pictures, runtime)
    return found if isinstance(found, str) else found["scores"]


def speed(model: Path, picture: Picture, runtime: str) -> dict[str, Any]:
    """How long an invocation takes, warm, with `THREADS` threads, and how much memory it all takes; JSON values.

    Raises:
        RuntimeError: if the runtime cannot do it.
    """
    found = _run("speed", model, [picture], runtime)
    if isinstance(found, str):
        raise RuntimeError(found)
    p50, p95 = np.percentile(found["milliseconds"], [50, 95])
    return {
        "latency_ms": {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "threads": THREADS},
        "peak_bytes": int(found["peak"]),
    }


def _run(job: str, model: Path, pictures: Sequence[Picture], runtime: str) -> dict[str, np.ndarray] | str:
    what = f"{model.stem} in {runtime}"
    shown: Any = progress(what, len(pictures)) if job == "scores" else waiting(f"{what}: timing")
    with tempfile.TemporaryDirectory() as name, (Path(name) / "errors").open("w+", errors="replace") as errors:
        paths, out = Path(name) / "paths", Path(name) / "out.npz"
        paths.write_bytes(b"\0".join(os.fsencode(picture.path.resolve()) for picture in pictures))
        with (
            paths.open() as given,
            shown as bar,
            subprocess.Popen(
                [sys.executable, "-m", "convert.device", job, str(model.resolve()), runtime, str(THREADS), str(out)],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=Path(__file__).resolve().parent.parent,
            ) as process,
        ):
            assert process.stdout
            try:
                for _ in process.stdout:
                    bar.update()
            except BaseException:
                process.kill()
                raise
        if process.returncode or not out.exists():
            errors.seek(0)
            lines = errors.read().strip().splitlines()
            if process.returncode == 2 and lines:
                return lines[-1].removeprefix("error: ").removeprefix(f"{model.resolve()}: ")
            return f"its process ended with status {process.returncode}: {lines[-1] if lines else 'no message'}"
        with np.load(out) as found:
            return dict(found)
