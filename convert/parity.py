"""The proof: what a `.tflite` file says of every validation picture, in each runtime, in processes of their own."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from convert.proof import Proof, Sample
from convert.stats import compare
from edge.model.interpreter import RUNTIMES
from train.dataset import Picture
from train.progress import progress, waiting

THREADS = os.cpu_count() or 1
SAME = 0.995  # of the held-out pictures get the same label in another runtime


def device_runtimes() -> list[str]:
    """The runtimes of a device that are installed here, the preferred one first."""
    found = [name for name, module in RUNTIMES.items() if importlib.util.find_spec(module.split(".")[0])]
    return [name for name in found if name != "tensorflow"] or found


def prove(model: Path, proof: Proof, runtimes: Sequence[str]) -> tuple[dict[str, Any], np.ndarray]:
    """All that is measured of a `.tflite` file but the verdict, as JSON values, and its scores (pictures, labels).

    The figures are those of the first runtime. Another one is "ok" if it answers the held-out pictures as that one
    does, but for the share that `SAME` allows.

    Raises:
        RuntimeError: if the first runtime does not run it.
    """
    sample = proof.held_out
    with ThreadPoolExecutor(len(runtimes)) as pool:
        answers = dict(
            zip(runtimes, pool.map(lambda name: scores(model, sample.pictures, name), runtimes), strict=True)
        )
    main, *_ = runtimes
    found = answers[main]
    if isinstance(found, str):
        raise RuntimeError(f"{main}: {found}")
    variant = compare(sample.reference, found, sample.truth, sample.labels) | {"flips": flips(sample, found)}
    variant |= speed(model, sample.pictures[0], main)
    variant["runtimes"] = {}
    for name, result in answers.items():
        same = 0.0 if isinstance(result, str) else float((result.argmax(axis=1) == found.argmax(axis=1)).mean())
        told = result if isinstance(result, str) else f"runs, but gives the labels of {main} on only {same:.1%}"
        variant["runtimes"][name] = "ok" if same >= SAME else told
    return variant, found


def flips(sample: Sample, scores: np.ndarray) -> list[dict[str, Any]]:
    """The pictures whose label changed, with the scores of both labels."""
    truth, before, after = sample.truth, sample.reference.argmax(axis=1), scores.argmax(axis=1)
    return [
        {
            "picture": str(sample.pictures[i].path),
            "label": sample.labels[truth[i]],
            "reference": sample.labels[before[i]],
            "variant": sample.labels[after[i]],
            "scores": [round(float(sample.reference[i].max()), 4), round(float(scores[i].max()), 4)],
        }
        for i in np.flatnonzero(before != after)
    ]


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
    with tempfile.TemporaryDirectory() as name, (Path(name) / "errors").open("w+") as errors:
        paths, out = Path(name) / "paths", Path(name) / "out.npz"
        paths.write_text("".join(f"{picture.path.resolve()}\n" for picture in pictures))
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
