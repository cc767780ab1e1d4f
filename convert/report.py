"""The report for people: one HTML page with everything in it, from the values of `report.json` and the scores."""

import hashlib
import os
import platform
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from convert.investigate import short
from convert.proof import Sample
from convert.stats import ALPHA, simulations
from convert.tell import held_out_alone
from edge.board import describe
from train.dataset import Picture
from train.figures import confusion_matrix
from train.heat import heat_of_file
from train.page import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    SOFT,
    chart_bars,
    chart_confusion,
    chart_points,
    drawing,
    svg,
    thumbnail,
    write_page,
)
from train.rundir import Run

SHOWN = 24  # pictures for each scheme; the rest are counted
LAYERS = 25  # rows of a chart
NAMED = 20  # labels, up to which there are confusion matrices
ROWS = 40  # labels of a table
COLOURS = {"pass": GREEN, "fail": RED, "undecided": ORANGE}
PACKAGES = "frostlite", "tensorflow", "ai-edge-litert", "numpy", "opencv-python-headless", "opencv-python"


def provenance(best: Path, run: Run) -> dict[str, Any]:
    """What a report was made of, when, and on what: JSON values."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **versions},
        "processor": f"{describe()['processor']}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "file_sha256": hashlib.sha256(best.read_bytes()).hexdigest(),
        "data_sha256": data_hash([*run.train, *run.validation, *run.test], run.spec.labels),
    }


def data_hash(pictures: list[Picture], labels: tuple[str, ...]) -> str:
    """The SHA-256 of the contents and labels of all pictures, in whatever order and place they lie."""
    lines = sorted(f"{picture.digest} {labels[picture.label]}\n" for picture in pictures)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def answer(report: dict[str, Any]) -> str:
    """The question of the page, whether the accuracy survives, answered in one line."""
    chosen = next(row for row in report["variants"] if row["scheme"] == report["chosen"])
    pictures, tolerance = report["proof"]["pictures"], f"{report['tolerance_points']:g}"
    quantized = [row for row in report["variants"] if row["scheme"] != "float32"]
    passed = [row for row in quantized if row["verdict"] == "pass"]
    if passed and (chosen in passed or chosen not in quantized):
        row = chosen if chosen in passed else passed[0]
        way = "gained" if row["drop_points"] < 0 else "lost"
        lost = f"{abs(row['drop_points']):.2f} points {way} on {pictures} pictures, {tolerance} allowed"
        other = "" if row is chosen else f"; {chosen['scheme']} was chosen, {report['why']}"
        return f"Yes: {row['scheme']} keeps the accuracy ({lost}){other}"
    if chosen in quantized or any(row["verdict"].startswith("undecided") for row in quantized):
        row = chosen if chosen in quantized else next(row for row in quantized if row["verdict"] != "fail")
        told = row["verdict"].partition(": ")[2]
        return f"Not proved: {row['scheme']} lost {row['drop_points']:.2f} points on {pictures} pictures; {told}"
    if not quantized:
        return "Not proved: no quantized variant was made"
    losses = ", ".join(f"{row['scheme']} loses {row['drop_points']:.2f}" for row in quantized)
    return f"No: {losses} points on {pictures} pictures, where {tolerance} are allowed"


def write_report(path: Path, report: dict[str, Any], run: Run, answers: dict[str, tuple[Sample, np.ndarray]]) -> None:
    """Write the page.

    Args:
        report: the values of `report.json`.
        answers: of each scheme the pictures that it was proved on, and its scores of them (pictures, labels).
    """
    variants = report["variants"]
    chosen = next(row for row in variants if row["scheme"] == report["chosen"])
    quantized = [row for row in variants if row["scheme"] != "float32"]
    pictures = {flip["picture"] for row in variants for flip in row["flips"][:SHOWN]}
    write_page(
        path,
        Path(__file__).parent / "report.html.jinja",
        answer=answer(report),
        held_out_alone=held_out_alone(report["variants"], report["proof"]["pictures"]),
        kind=_kind,
        unique=lambda tensors: list(dict.fromkeys(map(short, tensors))),
        run=run,
        trained=(run.folder / "report.html").is_file(),
        report=report,
        chosen=chosen,
        shown=SHOWN,
        runtimes=list(dict.fromkeys(name for row in variants for name in row["runtimes"])),
        thumbnails={picture: thumbnail(picture) for picture in pictures},
        heat={row["scheme"]: _heat(path.parent / row["file"], row, run.spec.labels) for row in quantized},
        tradeoff=[
            _against(report, "size, MB", lambda row: row["bytes"] / 1e6),
            _against(report, "one inference, ms (median)", lambda row: max(0.01, row["latency_ms"]["p50"])),
        ],
        confusions={row["scheme"]: _confusion(row["scheme"], *answers[row["scheme"]]) for row in quantized},
        scatter={row["scheme"]: _scatter(row["scheme"], *answers[row["scheme"]]) for row in quantized},
        recalls={row["scheme"]: _recalls(*answers[row["scheme"]]) for row in quantized},
        rows=ROWS,
        noise=chart_bars([(row["layer"], row["noise"]) for row in report["noise"][:LAYERS]], "error / signal"),
        sizes=chart_bars([(row["layer"], row["bytes"] / 1e3) for row in chosen["layers"][:LAYERS]], "kB"),
        simulations=simulations(report["proof"]["pictures"], report["tolerance_points"]),
        alpha=ALPHA,
    )


def _heat(model: Path, row: dict[str, Any], labels: tuple[str, ...]) -> dict[str, str]:
    """Of each picture whose label changed: warm what speaks for the new label, cold for that of the Keras model."""
    flips = [(Path(flip["picture"]), flip["variant"], flip["reference"]) for flip in row["flips"][:SHOWN]]
    places = [(picture, labels.index(said), labels.index(before)) for picture, said, before in flips]
    return {str(picture): heat for picture, heat in heat_of_file(model, places, next(iter(row["runtimes"]))).items()}


def _kind(verdict: str) -> str:
    return verdict.partition(":")[0]


def _against(report: dict[str, Any], name: str, value: Callable[[dict[str, Any]], float]) -> str:
    reference = 100 * report["reference"]["accuracy"]
    points = []
    for row in report["variants"]:
        low, high = row["drop_interval_points"]
        ends = reference - high, reference - low
        points.append((row["scheme"], value(row), 100 * row["accuracy"], ends, COLOURS[_kind(row["verdict"])]))
    allowed = max(0.0, reference - report["tolerance_points"])
    return chart_points(points, name, "accuracy, %", [(reference, "Keras"), (allowed, "tolerance")])


def _confusion(scheme: str, sample: Sample, scores: np.ndarray) -> str:
    labels, truth = sample.labels, sample.truth
    if len(labels) > NAMED:
        return ""
    said = [("Keras", sample.reference), (scheme, scores)]
    tables = [(title, confusion_matrix(truth, each.argmax(axis=1), len(labels))) for title, each in said]
    return chart_confusion(tables, labels)


def _scatter(scheme: str, sample: Sample, scores: np.ndarray) -> str:
    """The score of the Keras model's label in both models."""
    best = sample.reference.argmax(axis=1)
    changed = best != scores.argmax(axis=1)
    before, after = (np.take_along_axis(values, best[:, None], axis=1)[:, 0] for values in (sample.reference, scores))
    figure, axis = drawing(4.2, 3.8)
    axis.plot([0, 1], [0, 1], color=SOFT, linewidth=1)
    axis.scatter(before[~changed], after[~changed], s=10, color=BLUE, alpha=0.5, label="same label", rasterized=True)
    axis.scatter(before[changed], after[changed], s=22, color=RED, label="label changed")
    low = max(0.0, float(min(before.min(), after.min())) - 0.02)
    axis.set(title="score of the Keras model's label", xlabel="Keras", ylabel=scheme, xlim=(low, 1), ylim=(low, 1))
    axis.legend(fontsize=8, framealpha=0)
    return svg(figure, f"Scores of {scheme} against those of the Keras model")


def _recalls(sample: Sample, scores: np.ndarray) -> list[dict[str, Any]]:
    """A row a label, the greatest losses first."""
    truth, before, after = sample.truth, sample.reference.argmax(axis=1), scores.argmax(axis=1)
    table = []
    for number, label in enumerate(sample.labels):
        own = truth == number
        if own.any():
            shares = {"before": float((before[own] == number).mean()), "after": float((after[own] == number).mean())}
            table.append({"label": label, "pictures": int(own.sum()), **shares})
    return sorted(table, key=lambda each: each["after"] - each["before"])
