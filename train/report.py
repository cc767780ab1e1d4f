"""What a training run shows: curves, a confusion matrix, and the figures of the finished model."""

import csv
import textwrap
from pathlib import Path

import matplotlib
import numpy as np

from edge.files import whole
from train.fit import Fit
from train.heads import Solution

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BLUE, ORANGE, GREY = "#1f6feb", "#d9730d", "#8b949e"


def write_history(path: Path, fit: Fit) -> None:
    """One CSV row an epoch."""
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", *fit.history[0]])
        writer.writeheader()
        writer.writerows({"epoch": number, **row} for number, row in enumerate(fit.history, 1))


def draw_curves(path: Path, fit: Fit) -> None:
    """Accuracy and loss over the epochs, training and validation, with a line at the epoch that was kept."""
    epochs = range(1, len(fit.history) + 1)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name in zip(axes, ("accuracy", "loss"), strict=True):
        training = "training (average over the epoch, dropout on)"
        axis.plot(epochs, [row[name] for row in fit.history], color=GREY, label=training)
        axis.plot(epochs, [row[f"val_{name}"] for row in fit.history], color=BLUE, label="validation")
        for first in fit.stages[1:]:
            axis.axvline(first - 0.5, color=GREY, linestyle="--", label="the backbone is trained too from here")
        axis.axvline(fit.best_epoch, color=ORANGE, linestyle=":", label=f"kept: epoch {fit.best_epoch}")
        axis.set(title=name.capitalize(), xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="lower right", fontsize=8)
    _save(figure, path)


def write_candidates(path: Path, solution: Solution) -> None:
    """One CSV row for each head that was tried."""
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("kind", "strength", "accuracy", "loss", "chosen"))
        for each, accuracy in solution.accuracy.items():
            writer.writerow((each.kind, each.strength, accuracy, solution.loss[each], int(each == solution.candidate)))


def draw_candidates(path: Path, solution: Solution) -> None:
    """Accuracy and loss of the heads that were tried, on pictures that they were not fitted on."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name, values in zip(axes, ("accuracy", "loss"), (solution.accuracy, solution.loss), strict=True):
        colours = [ORANGE if each == solution.candidate else BLUE for each in values]
        axis.plot(range(len(values)), list(values.values()), color=GREY, linewidth=0.8, zorder=1)
        axis.scatter(range(len(values)), list(values.values()), color=colours, zorder=2)
        axis.set_xticks(range(len(values)), [str(each) for each in values], rotation=45, ha="right")
        axis.set_title(f"{name.capitalize()} on pictures held out (orange: kept)")
        axis.grid(alpha=0.3)
    _save(figure, path)


def draw_confusion(path: Path, matrix: np.ndarray, labels: tuple[str, ...], title: str) -> None:
    """A confusion matrix: coloured by the share of the row, with the counts written in."""
    side = 2.5 + 0.55 * len(labels)
    figure, axis = plt.subplots(figsize=(side + 1, side), layout="constrained")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if share[row, column] > 0.5 else "black"
        axis.text(column, row, str(count), ha="center", va="center", color=colour)
    ticks = range(len(labels))
    axis.set_xticks(ticks, labels, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(ticks, labels)
    axis.set(title=title, xlabel="the model says", ylabel="it is")
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    with whole(path) as part:
        figure.savefig(part, dpi=120)
    plt.close(figure)


def draw_study(path: Path, table: dict[float, dict[str, np.ndarray]], finding: str) -> None:
    """Validation accuracy and loss without dropout (left) and with it (right): the two pictures of the lesson.

    Args:
        table: dropout to name to values (seeds, epochs).
    """
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained", sharex=True, sharey="row")
    for column, dropout in enumerate(sorted(table)):
        for row, name in enumerate(("accuracy", "loss")):
            axis = axes[row, column]
            for prefix, colour, label in (("", GREY, "training (dropout on)"), ("val_", BLUE, "validation")):
                values = table[dropout][prefix + name]
                epochs = np.arange(1, values.shape[1] + 1)
                axis.plot(epochs, values.T, color=colour, alpha=0.25, linewidth=0.8)
                axis.plot(epochs, values.mean(axis=0), color=colour, linewidth=2, label=label)
            axis.grid(alpha=0.3)
            axis.xaxis.get_major_locator().set_params(integer=True)
        axes[0, column].set_title(f"dropout {dropout:g}" if dropout else "without dropout")
        axes[1, column].set_xlabel("epoch")
    for axis, name in zip(axes[:, 0], ("Accuracy", "Loss"), strict=True):
        axis.set_ylabel(name)
    axes[0, 0].legend(loc="lower right", fontsize=8)
    figure.suptitle("\n".join(textwrap.wrap(finding, 110)), fontsize=10)
    _save(figure, path)
