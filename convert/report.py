"""The report for people: one HTML page with everything in it, from the values of `report.json` and the scores."""

import base64
import io
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jinja2
import matplotlib
import numpy as np

from convert.investigate import short
from edge.files import whole
from edge.pictures import read_picture
from train.report import BLUE, GREY, ORANGE
from train.rundir import Run

matplotlib.use("Agg")
from matplotlib import pyplot as plt

THUMBNAIL = 224  # pixels
LAYERS = 25  # rows of a chart
NAMED = 20  # classes, up to which a confusion matrix has numbers and names
COLOURS = {"pass": "#1a7f37", "fail": "#cf222e", "undecided": "#9a6700"}


def write_report(
    path: Path, report: dict[str, Any], run: Run, reference: np.ndarray, scores: dict[str, np.ndarray], debugged: int
) -> None:
    """Write the page.

    Args:
        report: the values of `report.json`.
        reference, scores: (pictures, labels) of the Keras model, and of each scheme.
        debugged: how many pictures the noise by layer was measured on.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "share": lambda value: f"{100 * value:.2f}\N{NO-BREAK SPACE}%",
        "mb": lambda value: f"{value / 1e6:.2f}",
        "layers": _layers,
        "interval": lambda ends: f"{ends[0]:+.2f}\N{NO-BREAK SPACE}to {ends[1]:+.2f}",
        "kind": _kind,
        "name": lambda path: Path(path).name,
    }
    variants = report["variants"]
    chosen = next(row for row in variants if row["scheme"] == report["chosen"])
    pictures = {flip["picture"] for row in variants for flip in row["flips"]}
    page = environment.get_template("report.html.jinja").render(
        title="Does the accuracy survive?",
        run=run.folder.name,
        labels=run.spec.labels,
        report=report,
        chosen=chosen,
        machine=f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        runtimes=list(chosen["runtimes"]),
        thumbnails={picture: _thumbnail(picture) for picture in pictures},
        tradeoff=_tradeoff(report),
        details={
            row["scheme"]: _details(report, row, reference, scores[row["scheme"]], run.spec.labels)
            for row in variants
            if row["scheme"] != "float32"
        },
        noise=_bars(report["noise"], "noise", "error / signal", 1.0) if report["noise"] else "",
        debugged=debugged,
        sizes=_bars(chosen["layers"], "bytes", "kB", 1e-3),
    )
    with whole(path) as part:
        part.write_text(page, encoding="utf-8", errors="backslashreplace")


def _layers(tensors: list[str]) -> list[str]:
    return list(dict.fromkeys(map(short, tensors)))


def _kind(verdict: str) -> str:
    return verdict.partition(":")[0]


def _tradeoff(report: dict[str, Any]) -> list[str]:
    """Accuracy against size and against latency, a picture each; the error bars are the intervals of the drop."""
    return [
        _against(report, "size, MB", lambda row: row["bytes"] / 1e6),
        _against(report, "one inference, ms (median)", lambda row: max(0.01, row["latency_ms"]["p50"])),
    ]


def _against(report: dict[str, Any], name: str, value: Callable[[dict[str, Any]], float]) -> str:
    figure, axis = plt.subplots(figsize=(6, 4.2), layout="constrained")
    reference = 100 * report["reference"]["accuracy"]
    axis.axhline(reference, color=GREY, linewidth=1)
    axis.axhline(reference - report["tolerance_points"], color=ORANGE, linestyle=":", linewidth=1.5)
    for row in report["variants"]:
        low, high = row["drop_interval_points"]
        accuracy = 100 * row["accuracy"]
        ends = [[max(0, accuracy - (reference - high))], [max(0, reference - low - accuracy)]]
        colour = COLOURS[_kind(row["verdict"])]
        axis.errorbar(value(row), accuracy, yerr=ends, fmt="o", color=colour, capsize=3, alpha=0.75)
    points = [(value(row), 100 * row["accuracy"], number) for number, row in enumerate(report["variants"], 1)]
    for place, group in enumerate(_together(points, np.ptp(axis.get_ylim()))):
        label = _ranges(sorted(number for _, _, number in group))
        axis.annotate(label, group[-1][:2], (6, -13 if place % 2 else 5), textcoords="offset points", fontsize=9)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    _readable_ticks(axis, [value(row) for row in report["variants"]])
    axis.set(xlabel=name, ylabel="accuracy, %")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
    return _svg(figure)


def _together(points: list[tuple[float, float, int]], height: float) -> list[list[tuple[float, float, int]]]:
    """Points (x, y, number) from left to right, in groups of those whose labels would hide each other."""
    points = sorted(points)
    width = np.log(points[-1][0] / points[0][0]) + 0.5
    groups: list[list[tuple[float, float, int]]] = []
    for point in points:
        for group in groups:
            x, y, _ = group[-1]
            if np.log(point[0] / x) < 0.06 * width and abs(point[1] - y) < 0.05 * height:
                group.append(point)
                break
        else:
            groups.append([point])
    return groups


def _ranges(numbers: list[int]) -> str:
    """[1, 2, 3, 5] is "1-3, 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _readable_ticks(axis: Any, values: list[float]) -> None:
    low, high = max(min(values), 1e-4) / 1.25, max(*values, 1e-4) * 1.25
    steps = [step * 10.0**power for power in range(-5, 6) for step in (1, 2, 5)]
    axis.set_xlim(low, high)
    axis.set_xticks([step for step in steps if low <= step <= high])


def _details(
    report: dict[str, Any], row: dict[str, Any], reference: np.ndarray, scores: np.ndarray, labels: tuple[str, ...]
) -> str:
    """The two confusion matrices side by side, and the score of the right label in both models."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained", width_ratios=(1, 1, 1.1))
    for axis, title, counts in (
        (axes[0], "Keras", report["reference"]["confusion"]),
        (axes[1], row["scheme"], row["confusion"]),
    ):
        matrix = np.array(counts)
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axis.set(title=title, xlabel="the model says", ylabel="it is")
        if len(labels) <= NAMED:
            for (i, j), count in np.ndenumerate(matrix):
                axis.text(j, i, str(count), ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
            axis.set_xticks(range(len(labels)), labels, rotation=30, ha="right", rotation_mode="anchor")
            axis.set_yticks(range(len(labels)), labels)
    changed = reference.argmax(axis=1) != scores.argmax(axis=1)
    best = reference.argmax(axis=1)[:, None]
    before, after = (np.take_along_axis(values, best, axis=1)[:, 0] for values in (reference, scores))
    axes[2].plot([0, 1], [0, 1], color=GREY, linewidth=1)
    axes[2].scatter(before[~changed], after[~changed], s=10, color=BLUE, alpha=0.5, label="same label")
    axes[2].scatter(before[changed], after[changed], s=22, color=COLOURS["fail"], label="label changed")
    low = max(0.0, float(min(before.min(), after.min())) - 0.02)
    axes[2].set(title="score of the Keras model's label", xlabel="Keras", ylabel=row["scheme"])
    axes[2].set(xlim=(low, 1.005), ylim=(low, 1.005))
    axes[2].legend(fontsize=8)
    axes[2].grid(alpha=0.3)
    return _svg(figure)


def _bars(rows: list[dict[str, Any]], key: str, unit: str, factor: float) -> str:
    """The rows with the largest values, one bar a layer."""
    rows = rows[:LAYERS]
    figure, axis = plt.subplots(figsize=(8, 0.8 + 0.2 * len(rows)), layout="constrained")
    axis.barh(range(len(rows)), [row[key] * factor for row in rows], color=BLUE, height=0.7)
    axis.set_yticks(range(len(rows)), [row["layer"] for row in rows], fontsize=8)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel(unit)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", alpha=0.3)
    return _svg(figure)


def _svg(figure: plt.Figure) -> str:
    buffer = io.BytesIO()
    with plt.rc_context({"svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg")
    plt.close(figure)
    return _data("image/svg+xml", buffer.getvalue())


def _thumbnail(path: str) -> str:
    frame = read_picture(path)
    scale = min(1.0, THUMBNAIL / max(frame.shape[:2]))
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    return _data("image/jpeg", cv2.imencode(".jpg", cv2.resize(frame, size, interpolation=cv2.INTER_AREA))[1].tobytes())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
