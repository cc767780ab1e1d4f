"""The proof: what a `.tflite` file says of every validation picture, in each runtime, in processes of their own."""

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
from edge.errors import UserError
from edge.model.contract import read_model
from train.dataset import Picture
from train.features import Features
from train.progress import progress, waiting
from train.space import Candidate

THREADS = os.cpu_count() or 1
SAME = 0.995  # of the held-out pictures get the label that the features and the head, or another runtime, give


def prove(
    model: Path, proof: Proof, runtimes: Sequence[str], own: Candidate | None = None, learned: bool = False
) -> tuple[dict[str, Any], Sample, np.ndarray, Features | None]:
    """All that is measured of a `.tflite` file but verdict and speed, as JSON values; the pictures that it was measured
    on, its scores of them (pictures, labels), and its features of them, if they are what was measured.

    The first runtime runs the finished file on what is held out. Where all pictures count, the figures are those of its
    features, out of fold, and the file must give the labels of its features and its head. Another runtime is "ok" if
    it answers as the first one does. Both but for the share that `SAME` allows, or one picture.

    Args:
        own: how the head of the file was solved on its own features, if it was.
        learned: more than the head learned from the training pictures.

    Raises:
        RuntimeError: if the first runtime does not run it, or it does not answer as its features and its head.
    """
    held_out = proof.held_out

    def answer(name: str) -> np.ndarray | str:
        return scores(model, held_out.pictures, name)

    with ThreadPoolExecutor(len(runtimes)) as pool:
        answers = dict(zip(runtimes, pool.map(answer, runtimes), strict=True))
    main, *_ = runtimes
    found = answers[main]
    if isinstance(found, str):
        raise RuntimeError(f"{main}: {found}")
    sample, measured, told = held_out, found, {}
    features = None
    if proof.every and not learned:
        sample, measured, labels, features = proof.out_of_fold(read_model(model).graph, own)
        told["file_agreement"] = agreement(labels, found)
        if not same(labels, found):
            share = told["file_agreement"]
            raise RuntimeError(f"the file gives the labels of its features and its head on only {share:.1%}")
    variant = compare(sample.reference, measured, sample.truth, sample.labels) | told
    variant["proved_on"] = sample.how
    variant["flips"] = flips(sample, measured)
    variant["peak_bytes"] = peak_bytes(model, held_out.pictures[0], main)
    variant["runtimes"] = {}
    for name, result in answers.items():
        if isinstance(result, str) or same(found.argmax(axis=1), result):
            variant["runtimes"][name] = result if isinstance(result, str) else "ok"
        else:
            share = agreement(found.argmax(axis=1), result)
            variant["runtimes"][name] = f"runs, but gives the labels of {main} on only {share:.1%}"
    return variant, sample, measured, features


def agreement(labels: np.ndarray, scores: np.ndarray) -> float:
    """The share of pictures to which scores (pictures, labels) give these labels (pictures,)."""
    return float((scores.argmax(axis=1) == labels).mean())


def same(labels: np.ndarray, scores: np.ndarray) -> bool:
    return (1 - agreement(labels, scores)) * len(labels) <= max(1.0, (1 - SAME) * len(labels)) + 1e-9


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
    found = _run("scores", [model], pictures, runtime, progress(f"{model.stem} in {runtime}", len(pictures)))
    return found if isinstance(found, str) else found["scores"]


def peak_bytes(model: Path, picture: Picture, runtime: str) -> int:
    """How much memory a process takes that runs a file with `THREADS` threads.

    Raises:
        UserError: if the runtime cannot do it.
    """
    return int(_measured("memory", [model], picture, runtime, f"{model.stem} in {runtime}")["peak"])


def speeds(models: Sequence[Path], picture: Picture, runtime: str) -> list[dict[str, Any]]:
    """How long an invocation of each file takes, warm, with `THREADS` threads, while they take turns; JSON values.

    Raises:
        UserError: if the runtime cannot do it.
    """
    found = _measured("speed", models, picture, runtime, f"timing in {runtime}")["milliseconds"]
    ends = np.percentile(found, [50, 95], axis=1).round(2)
    return [{"p50": float(p50), "p95": float(p95), "threads": THREADS} for p50, p95 in ends.T]


def _measured(job: str, models: Sequence[Path], picture: Picture, runtime: str, what: str) -> dict[str, np.ndarray]:
    found = _run(job, models, [picture], runtime, waiting(what))
    if isinstance(found, str):
        raise UserError(f"{what}: {found}")
    return found


def _run(
    job: str, models: Sequence[Path], pictures: Sequence[Picture], runtime: str, shown: Any
) -> dict[str, np.ndarray] | str:
    with tempfile.TemporaryDirectory() as name, (Path(name) / "errors").open("w+", errors="replace") as errors:
        paths, out = Path(name) / "paths", Path(name) / "out.npz"
        paths.write_bytes(b"\0".join(os.fsencode(picture.path.resolve()) for picture in pictures))
        files = [str(model.resolve()) for model in models]
        with (
            paths.open() as given,
            shown as bar,
            subprocess.Popen(
                [sys.executable, "-m", "convert.device", job, runtime, str(THREADS), str(out), *files],
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
                return lines[-1].removeprefix("error: ").removeprefix(f"{files[0]}: ")
            return f"its process ended with status {process.returncode}: {lines[-1] if lines else 'no message'}"
        with np.load(out) as found:
            return dict(found)
