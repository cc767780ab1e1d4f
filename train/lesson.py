"""What more pictures would bring: a quick head on cached features, fitted to a part of the pictures, asked the rest."""

from dataclasses import dataclass

import numpy as np

from train.figures import Figures, figures
from train.heads import TEMPERATURES, Candidate, Space, log_losses

QUICK = Candidate("lda", 0.6)  # solved in a tenth of a second, and within a point of the best one
_PARTS = 5
SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
_Z = 1.959964


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, count: int, fold: np.ndarray, share: float = 1.0, balance: bool = False
) -> np.ndarray:
    """Logits (pictures, labels) of the quick head, each by one that was fitted to other folds.

    Args:
        features: float32 (pictures, features).
        labels: int (pictures,), 0 to `count` - 1.
        fold: int (pictures,), of `train.heads.folds`.
        share: of the other folds that is fitted to.
    """
    space = Space(features, labels, count, (), balance)
    answers = np.empty((len(labels), count), np.float32)
    for part in np.unique(fold % _PARTS):
        own = fold % _PARTS == part
        others = np.unique(fold[~own])
        used = ~own & np.isin(fold, others[: max(1, round(share * len(others)))])
        (head,) = space.fit([QUICK], used)
        answers[own] = space.answers(head, own)
    return answers / TEMPERATURES[log_losses(answers, labels).mean(axis=0).argmin()]


@dataclass(frozen=True)
class Lesson:
    """A learning curve.

    Attributes:
        sizes: how many pictures each head was fitted to.
        figures: of their answers to all pictures, out of fold.
    """

    sizes: list[int]
    figures: list[Figures]

    def twice(self) -> tuple[float, float, float] | None:
        """The points of accuracy that twice the pictures would bring, and the ends of its interval of 95 %.

        The share of wrong answers falls as a power of the pictures (Hestness et al., "Deep learning scaling is
        predictable, empirically", 2017): a straight line in logarithms, each end weighed by the mistakes it has. None
        without two sizes, or without a mistake.
        """
        wrong = np.array([each.pictures - each.right for each in self.figures], float)
        if len(wrong) < 3 or not wrong[-1]:
            return None
        x, weights = np.log(self.sizes), np.maximum(wrong, 0.5)
        x = x - weights @ x / weights.sum()
        slope = -float((weights * x) @ np.log(weights)) / float(weights @ x**2)
        # A logarithm of a count deviates by one over the root of the count; curves are not quite straight besides.
        off = np.log(weights) + slope * x
        off -= weights @ off / weights.sum()
        spread = max(1.0, float(weights @ off**2) / (len(x) - 2))
        error = _Z * np.sqrt(spread / float(weights @ x**2))
        now = 100 * wrong[-1] / self.figures[-1].pictures
        middle, low, high = (now * (1 - 2.0**-each) for each in (slope, slope - error, slope + error))
        return float(middle), float(low), float(high)

    def sentence(self) -> str:
        """What more pictures would bring, in words."""
        found = self.twice()
        if found is None:
            return "Hardly a mistake is left, so more photos of this kind cannot show in these figures."
        middle, low, high = found
        if low <= 0:
            told = f"Twice the photos would bring {max(0.0, middle):.1f} points or nothing: at most {max(0, high):.1f}."
        else:
            told = f"Twice the photos would bring about {middle:.1f} points ({low:.1f} to {high:.1f})."
        last = self.figures[-1]
        right, of = last.confusion.diagonal(), last.confusion.sum(axis=1)
        worst = int(np.where(of > 0, (right + 1) / (of + 2), 2).argmin())
        if right[worst] == of[worst]:
            return told
        return f"{told} More of `{last.labels[worst]}` above all: {right[worst]} of {of[worst]} of them are right."


def learn(features: np.ndarray, labels: np.ndarray, names: tuple[str, ...], fold: np.ndarray) -> Lesson:
    """The learning curve of features (pictures, features)."""
    sizes, found = [], []
    for share in SHARES:
        size = round(share * (_PARTS - 1) / _PARTS * len(labels))
        if size >= 2 * len(names):
            answers = out_of_fold(features, labels, len(names), fold, share).argmax(axis=1)
            sizes.append(size)
            found.append(figures(answers, labels, names))
    return Lesson(sizes, found)
