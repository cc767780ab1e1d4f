"""`report.html` of a run: how often it is right, where it errs, what more photos would bring, what the doctor found."""

import base64
import hashlib
import os
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.errors import UserError
from edge.pictures import read_picture
from train.dataset import Dataset
from train.doctor import Case, diagnose
from train.doctor_command import PAGE_SIDE, TABLE, case_of, shown
from train.doctor_table import write_table
from train.figures import Figures
from train.fit import Fit
from train.heads import folds
from train.heat import heat_of_model
from train.learning_curve import LearningCurve, learn
from train.page import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SOFT,
    chart_confusion,
    chart_points,
    drawing,
    svg,
    thumbnails,
    write_page,
)
from train.picture import Picture
from train.prepare import Prepared
from train.progress import waiting
from train.promise import Promise
from train.report import confusions
from train.rundir import MODEL, SPLIT

REPORT = "report.html"
_PAIRS, _OF_PAIR = 8, 6  # confusions with pictures, and pictures of each
_NAMED = 20  # labels up to which a confusion matrix has numbers and names
_POINTS, _TILES, _TILE = 10_000, 400, 56  # of the map: pictures, pictures that show when pointed at, pixels of those
_COLUMNS = 20
_PACKAGES = "tensorflow", "tf-keras", "numpy", "scipy", "ai-edge-litert"


def write_html_report(
    folder: Path,
    ready: Prepared,
    data: Dataset,
    fit: Fit,
    metrics: dict[str, Any],
    figures: Figures,
    called: str,
    pictures: Sequence[Picture],
    scores: np.ndarray,
) -> None:
    """Write `report.html` and `doctor.csv` of a run.

    Args:
        metrics: what `metrics.json` holds.
        figures, called: of the headline, and what its pictures are called.
        pictures, scores: those, and the answers to them (pictures, labels).
    """
    with waiting("report"):
        learned = _learn(ready, data)  # first: its copy of the features is gone before the doctor has one
        case = case_of(ready, data)
        findings = diagnose(case)
        write_table(folder / TABLE, data.root, findings)
        errs = _confusions(figures, pictures, scores)
        values = shown(findings, data)
        wrong = {path: str(path.relative_to(data.root)) for each in errs for path, _ in each["pictures"]}
        values["names"] |= wrong
        values["thumbnails"] |= thumbnails(wrong.keys() - values["thumbnails"].keys(), PAGE_SIDE)
        pairs = [(path, *each["places"]) for each in errs for path, _ in each["pictures"]]
        template = Path(__file__).parent / "page" / "train.html.jinja"
        write_page(
            folder / REPORT,
            template,
            run=folder.resolve().name,
            answer=answer(figures, metrics["headline"]),
            figures=figures,
            called=called,
            metrics=metrics,
            promise=Promise(**told) if (told := metrics["calibration"]["promise"]) else "",
            labels=_by_label(figures),
            errs=errs,
            heat=heat_of_model(ready.model, ready.spec, pairs, PAGE_SIDE),
            matrix=chart_confusion([(f"{figures.pictures} pictures", figures.confusion)], figures.labels)
            if len(figures.labels) <= _NAMED
            else "",
            lesson=learned.sentence() if learned.figures else "",
            curve=_curve(learned) if len(learned.figures) > 1 else "",
            searched=_searched(metrics["search"]) if metrics["search"] else "",
            epochs=_epochs(fit) if fit.history else "",
            map=_map(case, data),
            facts=_facts(folder, ready, metrics),
            **values,
        )


def answer(figures: Figures, headline: str) -> str:
    """How often the model is right, in one sentence.

    Args:
        headline: the name of the figures.
    """
    low, high = (_of_hundred(each) for each in figures.interval)
    what = "pictures that chose what was kept" if headline == "validation" else "pictures it never saw"
    return f"{_of_hundred(figures.accuracy)} of 100 right on {what}; {low} to {high} with 95 % confidence"


def _of_hundred(share: float) -> str:
    """A share as a number of a hundred; never 100 or 0 for what only comes near."""
    text = f"{100 * share:.0f}"
    return f"{100 * share:.1f}" if text in ("0", "100") and 0 < share < 1 else text


def _by_label(figures: Figures) -> list[dict[str, Any]]:
    counts = figures.confusion.sum(axis=1).tolist()
    return [
        {"label": label, "pictures": count, "recall": figures.recall[label], "precision": figures.precision[label]}
        for label, count in zip(figures.labels, counts, strict=True)
    ]


def _confusions(figures: Figures, pictures: Sequence[Picture], scores: np.ndarray) -> list[dict[str, Any]]:
    """The pairs of labels that are confused most often, with the pictures that the model is most sure of."""
    truth, said = np.array([picture.label for picture in pictures]), scores.argmax(axis=1)
    found = []
    for true, taken, count in confusions(figures.confusion, _PAIRS):
        own = np.flatnonzero((truth == true) & (said == taken))
        own = own[np.argsort(-scores[own, taken], kind="stable")][:_OF_PAIR]
        shown = [(pictures[i].path, float(scores[i, taken])) for i in own.tolist()]
        found.append(
            {"true": figures.labels[true], "said": figures.labels[taken], "count": count, "pictures": shown,
             "of": int(figures.confusion[true].sum()), "places": (taken, true)}
        )  # fmt: skip
    return found


def _learn(ready: Prepared, data: Dataset) -> LearningCurve:
    pictures = data.fold_pictures()
    sources = [ready.train, *([ready.validation] if data.own_split else [])]
    features = np.concatenate([each.view(0) for each in sources])
    if features.shape[1] > 8192:  # a flattened map: its learning curve would take minutes
        return LearningCurve([], [])
    return learn(features, np.array([picture.label for picture in pictures]), data.labels, folds(pictures))


def _curve(learned: LearningCurve) -> str:
    figure, axis = drawing(6, 3.6)
    value = np.array([100 * each.accuracy for each in learned.figures])
    ends = np.abs(100 * np.array([each.interval for each in learned.figures]) - value[:, None]).T
    axis.errorbar(learned.sizes, value, yerr=ends, fmt="o-", color=BLUE, capsize=3)
    if found := learned.twice():
        points, low, high = found
        after = value[-1] + points
        axis.errorbar(2 * learned.sizes[-1], after, yerr=[[points - low], [high - points]], fmt="o", color=ORANGE,
                      mfc="none", capsize=3)  # fmt: skip
        axis.plot([learned.sizes[-1], 2 * learned.sizes[-1]], [value[-1], after], ":", color=ORANGE)
    axis.set_xscale("log", base=2)
    sizes = [*learned.sizes, *([2 * learned.sizes[-1]] if found else [])]
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.set(xlabel="pictures that it was fitted to", ylabel="% right, out of fold")
    return svg(figure, "Accuracy against the number of pictures")


def _epochs(fit: Fit) -> str:
    figure, axes = drawing(9, 3.2, 2)
    epochs = range(1, len(fit.history) + 1)
    for axis, name in zip(axes, ("accuracy", "loss"), strict=True):
        axis.plot(epochs, [row[name] for row in fit.history], color=SOFT, label="training, dropout on")
        axis.plot(epochs, [row[f"val_{name}"] for row in fit.history], color=BLUE, label="validation")
        axis.axvline(fit.best_epoch, color=GREEN, linestyle=":", label=f"kept: epoch {fit.best_epoch}")
        axis.set(title=name.capitalize(), xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[1].legend(fontsize=8, frameon=False, labelcolor=INK)
    return svg(figure, "Accuracy and loss over the epochs")


def _searched(rows: list[dict[str, Any]]) -> str:
    points = [
        (
            row["model"],
            row["multiply_adds"] / 1e6,
            100 * row["accuracy"],
            (100 * row["interval"][0], 100 * row["interval"][1]),
            GREEN if row["kept"] else BLUE,
        )
        for row in rows
    ]
    return chart_points(points, "million multiply-adds", "% right, out of fold", [])


def _map(case: Case, data: Dataset) -> dict[str, Any]:
    """The pictures in the two directions in which their features differ most (principal components)."""
    dice, count = np.random.default_rng(0), len(case.pictures)
    some = np.sort(dice.choice(count, min(count, _POINTS), replace=False))
    unit = case.unit - case.unit.mean(axis=0)
    values, vectors = np.linalg.eigh((unit.T @ unit).astype(np.float64))
    places = unit[some] @ vectors[:, : -1 - min(2, vectors.shape[1]) : -1]
    places = np.column_stack([places, np.zeros(len(places))])[:, :2]  # of one feature alone
    low, high = places.min(axis=0), places.max(axis=0)
    places = np.rint(1000 * (places - low) / np.maximum(high - low, 1e-9)).astype(int)
    said = case.scores.argmax(axis=1)[some]
    # The mistakes have pictures first, then whatever chance draws.
    order = np.lexsort((dice.random(len(some)), said == case.labels[some]))[:_TILES]
    tiles = np.full(len(some), -1)
    tiles[order] = np.arange(len(order))
    return {
        "share": float(values[-2:].sum() / max(values.sum(), 1e-12)),
        "count": count,
        "shown": len(some),
        "tiles": len(order),
        "sheet": _sheet([case.pictures[some[i]].path for i in order.tolist()]),
        "data": {
            "labels": data.labels,
            "x": places[:, 0].tolist(),
            "y": (1000 - places[:, 1]).tolist(),
            "label": case.labels[some].tolist(),
            "said": said.tolist(),
            "tile": tiles.tolist(),
            "name": [str(case.pictures[i].path.relative_to(data.root)) for i in some.tolist()],
            "side": _TILE,
            "columns": _COLUMNS,
        },
    }


def _sheet(paths: list[Path]) -> str:
    """Small pictures in rows of `_COLUMNS`, one JPEG."""

    def tile(path: Path) -> np.ndarray:
        try:
            return cv2.resize(read_picture(path), (_TILE, _TILE), interpolation=cv2.INTER_AREA)
        except UserError:  # gone since
            return np.zeros((_TILE, _TILE, 3), np.uint8)

    sheet = np.zeros((-(-len(paths) // _COLUMNS) * _TILE, _COLUMNS * _TILE, 3), np.uint8)
    with ThreadPoolExecutor() as pool:
        for number, small in enumerate(pool.map(tile, paths)):
            row, column = divmod(number, _COLUMNS)
            sheet[row * _TILE : (row + 1) * _TILE, column * _TILE : (column + 1) * _TILE] = small
    data = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _facts(folder: Path, ready: Prepared, metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """How it was made: the recipe, the time, versions, hashes."""
    head = {name: value for name, value in metrics["head"].items() if name not in ("tried", "left_out")}
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    height, width = ready.spec.size
    facts: list[tuple[str, Any]] = [
        ("backbone", f"{metrics['backbone']}, {width} x {height} pixels, {ready.spec.resize}"),
        ("depths", ", ".join([*ready.taps, "top"])),
        ("weights", " ".join(filter(None, metrics["weights"].values()))),
        ("head", ", ".join(f"{name} {value}" for name, value in head.items())),
        ("recipe of the epochs", metrics["recipe"] and ", ".join(f"{k} {v}" for k, v in metrics["recipe"].items())),
        ("views", metrics["augment"] and ", ".join(f"{k} {v}" for k, v in metrics["augment"].items())),
        ("trained of the backbone", ", ".join(metrics["unfrozen"])),
        ("pictures", ", ".join(f"{count} {name}" for name, count in metrics["images"].items())),
        ("parameters", ", ".join(f"{count:,} {name}" for name, count in metrics["parameters"].items())),
        ("seconds", ", ".join(f"{name} {value:.1f}" for name, value in metrics["seconds"].items())),
        ("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {platform.python_version()}"),
        ("versions", ", ".join([*versions, f"opencv {cv2.__version__}"])),
        *((f"SHA-256 of {name}", _digest(folder / name)) for name in (MODEL, SPLIT)),
    ]
    return [(name, str(value)) for name, value in facts if value]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
