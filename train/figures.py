"""How often a model is right: one kind of figures for the metrics, the sentence that is printed, and the reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.share import wilson


@dataclass(frozen=True)
class Figures:
    """What a model answered about some pictures.

    Attributes:
        labels: their names.
        confusion: counts, int64 (labels, labels): rows are the true labels, columns the answers.
    """

    labels: tuple[str, ...]
    confusion: np.ndarray

    @property
    def pictures(self) -> int:
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        return int(self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """The share of right answers, 0 to 1."""
        return self.right / self.pictures

    @property
    def interval(self) -> tuple[float, float]:
        """That of 95 % for the accuracy."""
        return wilson(self.right, self.pictures)

    @property
    def recall(self) -> dict[str, float | None]:
        """Of the pictures of each label, the share that got it; None where there is none."""
        return self._shares(1)

    @property
    def precision(self) -> dict[str, float | None]:
        """Of the answers with each label, the share that was right; None where there is none."""
        return self._shares(0)

    def _shares(self, axis: int) -> dict[str, float | None]:
        pairs = zip(self.confusion.diagonal().tolist(), self.confusion.sum(axis=axis).tolist(), strict=True)
        return {label: right / of if of else None for label, (right, of) in zip(self.labels, pairs, strict=True)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.accuracy:.2%} (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"

    def to_json(self) -> dict[str, Any]:
        names = ("pictures", "accuracy", "interval", "recall", "precision")
        return {name: getattr(self, name) for name in names}


def figures(answers: np.ndarray, truth: np.ndarray, labels: Sequence[str]) -> Figures:
    """Of answers and true labels, int (pictures,) each."""
    return Figures(tuple(labels), confusion_matrix(truth, answers, len(labels)))


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, int64 (classes, classes): rows are the true labels, columns the predicted ones."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (truth, predicted), 1)
    return matrix
