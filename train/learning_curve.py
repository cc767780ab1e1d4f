"""What more pictures would bring: a quick head on cached features, fitted to a part of the pictures, asked the rest."""

from dataclasses import dataclass

import numpy as np

from train.figures import Figures, figures
from train.heads import TEMPERATURES, log_losses, side_by_side
from train.space import Candidate, Space

QUICK = Candidate("lda", 0.6)  # solved in a tenth of a second, and within a point of the best one
_PARTS = 5
SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
_Z = 1.959964


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, count: int, fold: np.ndarray, balance: bool = False
) -> np.ndarray:
    """Logits (pictures, labels) of the quick head, each by one that was fitted to other folds.

    Args:
        features: float32 (pictures, features).
        labels: int (pictures,), 0 to `count` - 1.
        fold: int (pictures,), of `train.heads.folds`.
    """
    return _of_share(Space(features, labels, count, (), balance), labels, fold, 1.0)


def _of_share(space: Space, labels: np.ndarray, fold: np.ndarray, share: float) -> np.ndarray:
    """`out_of_fold`, of heads that are fitted to a share of the other folds: the first ones, or the last ones if it is
    negative."""
    answers = np.empty((len(labels), space.count), np.float32)

    def answer(part: int) -> None:
        own = fold % _PARTS == part
        others = np.unique(fold[~own])
        some = max(1, round(abs(share) * len(others)))
        used = np.isin(fold, others[:some] if share > 0 else others[-some:])
        (head,) = space.fit([QUICK], used)
        answers[own] = space.answers(head, own)

    side_by_side(answer, np.unique(fold % _PARTS))
    return answers / TEMPERATURES[log_losses(answers, labels).mean(axis=0).argmin()]


@dataclass(frozen=True)
class LearningCurve:
    """A learning curve.

    Attributes:
        sizes: how many pictures each head was fitted to; the last one to twice as many as the one before.
        figures: of their answers to all pictures, out of fold.
        gain: what the last doubling brought, in points; of two halves of the pictures the mean.
        error: half the width of its interval of 95 %, picture by picture, as all heads answer the same ones.
    """

    sizes: list[int]
    figures: list[Figures]
    gain: float = 0.0
    error: float = 0.0

    def twice(self) -> tuple[float, float, float] | None:
        """The points of accuracy that twice the pictures would bring, and the ends of its interval of 95 %.

        The share of wrong answers falls as a power of the pictures (Hestness et al., "Deep learning scaling is
        predictable, empirically", 2017): it shrinks by the factor of the last doubling once more. A line through the
        whole curve would promise more, as curves flatten where labels are unclear. None without a mistake.
        """
        if len(self.figures) < 2 or self.figures[-1].accuracy == 1:
            return None
        now = 100 * (1 - self.figures[-1].accuracy)
        factor = now / max(now, now + self.gain)
        return self.gain * factor, (self.gain - self.error) * factor, (self.gain + self.error) * factor

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


def learn(features: np.ndarray, labels: np.ndarray, names: tuple[str, ...], fold: np.ndarray) -> LearningCurve:
    """The learning curve of features (pictures, features)."""
    shares = [share for share in SHARES if _size(share, labels) >= 2 * len(names)]
    if len(shares) < 2:
        return LearningCurve([], [])
    space = Space(features, labels, len(names), (), False)
    *answers, other = (_of_share(space, labels, fold, each).argmax(axis=1) for each in (*shares, -shares[-2]))
    better = (answers[-1] == labels) - ((answers[-2] == labels) / 2 + (other == labels) / 2)
    error = _Z * better.std(ddof=1) / np.sqrt(len(labels))
    found = [figures(each, labels, names) for each in answers]
    return LearningCurve(
        [_size(share, labels) for share in shares], found, 100 * float(better.mean()), 100 * float(error)
    )


def _size(share: float, labels: np.ndarray) -> int:
    return round(share * (_PARTS - 1) / _PARTS * len(labels))
