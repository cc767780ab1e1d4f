"""What all reports share: one stylesheet, one frame of a page, one set of charts. A page is one file."""

import base64
import io
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import jinja2
import matplotlib
import numpy as np

from edge.errors import UserError
from edge.files import whole
from edge.pictures import read_picture

matplotlib.use("Agg")
from matplotlib import pyplot as plt

plt.rcParams["text.parse_math"] = False  # a label may have dollars in it

BLUE, ORANGE, GREEN, RED = "#2f81f7", "#d9730d", "#2da44e", "#e5534b"  # to be seen on white and on black
INK, SOFT = "#010203", "#040506"  # stand for the colours of the page's own text, which follow light and dark
THUMBNAIL = 224  # pixels
SPACE = "\N{NO-BREAK SPACE}"


def _marked(text: str) -> str:
    """Plain text with `names` in the letters of code."""
    return jinja2.utils.markupsafe.Markup(
        re.sub("`([^`]*)`", r"<code>\1</code>", str(jinja2.utils.markupsafe.escape(text)))
    )


FILTERS = {
    "share": lambda value: f"{100 * value:.2f}{SPACE}%",
    "mb": lambda value: f"{value / 1e6:.2f}",
    "points": lambda value: f"{value:.2f}",
    "interval": lambda ends: f"{ends[0]:+.2f}{SPACE}to{SPACE}{ends[1]:+.2f}",
    "name": lambda path: Path(path).name,
    "marked": _marked,
}


def write_page(path: Path, template: Path, **values: Any) -> None:
    """Write a page whose template begins with `{% extends "frame.html.jinja" %}`, whole or not at all."""
    loader = jinja2.FileSystemLoader([template.parent, Path(__file__).parent])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= FILTERS
    page = environment.get_template(template.name).render(**values)
    with whole(path) as part:
        part.write_text(page, encoding="utf-8", errors="backslashreplace")


def thumbnails(paths: Iterable[Path], side: int = THUMBNAIL) -> dict[Path, str]:
    """`thumbnail` of many pictures, on all cores."""
    with ThreadPoolExecutor() as pool:
        kept = list(paths)
        return dict(zip(kept, pool.map(lambda path: thumbnail(path, side), kept), strict=True))


def thumbnail(path: str | Path, side: int = THUMBNAIL) -> str:
    """A picture as a small JPEG within the page; an empty string if it is gone or cannot be read any more."""
    try:
        return inline(read_picture(Path(path)), side)
    except UserError:
        return ""


def inline(frame: np.ndarray, side: int = THUMBNAIL) -> str:
    """A BGR uint8 frame (height, width, 3) as a small JPEG within the page."""
    scale = min(1.0, side / max(frame.shape[:2]))
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    data = cv2.imencode(".jpg", cv2.resize(frame, size, interpolation=cv2.INTER_AREA))[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def drawing(width: float, height: float, columns: int = 1, **layout: Any) -> tuple[plt.Figure, Any]:
    """A figure and its axes, in the colours of the page."""
    colours: Any = dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), INK)
    colours |= dict.fromkeys(("xtick.color", "ytick.color", "axes.edgecolor", "grid.color"), SOFT) | {"font.size": 10}
    with plt.rc_context(colours):
        figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", **layout)
    for axis in np.ravel(axes):
        axis.set_facecolor("none")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.2)
        axis.set_axisbelow(True)
    return figure, axes


def svg(figure: plt.Figure, alt: str) -> str:
    """The figure as SVG to stand in a page: its text is text, and dark where the page is dark."""
    buffer = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "text.color": INK}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor").replace(SOFT, "var(--soft)")
    attributes = f'<svg class="plot" role="img" aria-label="{alt}" '
    return jinja2.utils.markupsafe.Markup(attributes + text.removeprefix("<svg "))


def chart_points(
    points: list[tuple[str, float, float, tuple[float, float], str]],
    name: str,
    unit: str,
    lines: list[tuple[float, str]],
) -> str:
    """Values in percent against a cost: each point has its name beside it, and the axis ends at 100 %.

    Args:
        points: name, cost, percent, the ends of its interval, colour.
        name: of the cost.
        unit: of the values.
        lines: percent and a word, drawn across.
    """
    figure, axis = drawing(6, 4.2)
    for _, cost, value, (low, high), colour in points:
        ends = [[max(0, value - low)], [max(0, min(100, high) - value)]]
        axis.errorbar(cost, value, yerr=ends, fmt="o", color=colour, capsize=3)
    lowest = min([*(max(0, low) for _, _, _, (low, _), _ in points), *(value for value, _ in lines)])
    axis.set_ylim(max(0.0, lowest - 0.12 * (100 - lowest) - 0.2), 100)
    costs = [cost for _, cost, *_ in points]
    low, high = min(costs) / 1.3, max(costs) * 1.3
    axis.set_xscale("log")
    axis.set_xlim(low, high * (high / low) ** 0.35)  # room for the names
    steps = [step * 10.0**power for power in range(-5, 7) for step in (1, 2, 5)]
    axis.set_xticks([step for step in steps if low <= step <= high])
    axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    for value, word in lines:
        axis.axhline(value, color=SOFT, linewidth=1, linestyle=":")
        axis.annotate(word, (1, value), (-2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                      ha="right", fontsize=8, color=SOFT)  # fmt: skip
    figure.draw_without_rendering()
    taken: list[tuple[float, float, float]] = []
    for label, cost, value, *_ in sorted(points, key=lambda point: -point[2]):
        x, y = axis.transData.transform((cost, value))
        wide, place = 12 + 8.0 * len(label), y - 4
        while any(left - wide < x < left + taken_wide and abs(place - other) < 13 for left, other, taken_wide in taken):
            place -= 4
        taken.append((x, place, wide))
        axis.annotate(label, (cost, value), (8, (place - y) * 72 / figure.dpi), textcoords="offset points",
                      fontsize=9, color=INK)  # fmt: skip
    axis.set(xlabel=name, ylabel=unit)
    return svg(figure, f"{unit} against {name}")


def chart_bars(rows: list[tuple[str, float]], unit: str) -> str:
    """One bar a row, the first on top."""
    figure, axis = drawing(8, 0.8 + 0.2 * len(rows))
    axis.barh(range(len(rows)), [value for _, value in rows], color=BLUE, height=0.7)
    axis.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel(unit)
    axis.grid(visible=False, axis="y")
    return svg(figure, unit)


def chart_confusion(tables: list[tuple[str, np.ndarray]], labels: tuple[str, ...]) -> str:
    """Confusion matrices side by side: coloured by the share of the row, with the counts written in.

    Args:
        tables: title and counts (labels, labels); rows are the true labels.
    """
    side = 2.2 + 0.42 * len(labels)
    figure, axes = drawing(len(tables) * (side + 0.6), side, len(tables), squeeze=False)
    for axis, (title, counts) in zip(axes[0], tables, strict=True):
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axis.grid(visible=False)
        for (row, column), count in np.ndenumerate(counts):
            colour = "#ffffff" if share[row, column] > 0.5 else "#1f2328"
            axis.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
        axis.set_xticks(range(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        axis.set_yticks(range(len(labels)), labels, fontsize=8)
        axis.set(title=title, xlabel="the model says", ylabel="it is")
    return svg(figure, "Confusion: " + ", ".join(title for title, _ in tables))
