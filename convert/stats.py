"""What the answers of a variant say against those of the reference: the drop, how sure it is, and the rest."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from train.confusion import confusion_matrix

CONFIDENCE = 0.90  # of the two-sided interval, so 95 % on either side of it
BINS = 15  # of the calibration error, as in Guo et al. (2017)
SAME_SCORES = 1e-3  # a variant that never strays further, and never to another label, is the same model
MOST_PICTURES = 10**7


def compare(reference: np.ndarray, scores: np.ndarray, truth: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """All figures of a variant against the reference, as JSON values.

    Args:
        reference, scores: (pictures, labels), 0 to 1.
        truth: the right labels, integers (pictures,).
        labels: their names.

    Returns:
        `accuracy` and `agreement` (fractions), `drop_points` with its interval, `lost` and `won` (pictures that only
        the reference, only the variant has right), the p-value of McNemar's test, `score_change` (largest and mean
        absolute), `recall` by label, `calibration_error`, and `confusion` (rows: true labels).
    """
    before, after = reference.argmax(axis=1), scores.argmax(axis=1)
    lost = int(((before == truth) & (after != truth)).sum())
    won = int(((before != truth) & (after == truth)).sum())
    low, high = drop_interval(lost, won, len(truth))
    change = np.abs(reference - scores)
    return {
        "accuracy": float((after == truth).mean()),
        "drop_points": round(100 * (lost - won) / len(truth), 4),
        "drop_interval_points": [round(low, 4), round(high, 4)],
        "lost": lost,
        "won": won,
        "mcnemar_p": mcnemar(lost, won),
        "agreement": float((before == after).mean()),
        "score_change": {"largest": float(change.max()), "mean": float(change.mean())},
        "recall": {label: float((after[truth == i] == i).mean()) for i, label in enumerate(labels) if i in truth},
        "calibration_error": calibration_error(scores, truth),
        "confusion": confusion_matrix(truth, after, len(labels)).tolist(),
    }


def reference_figures(scores: np.ndarray, truth: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """What there is to say of the reference itself, in the words of `compare`."""
    figures = compare(scores, scores, truth, labels)
    return {name: figures[name] for name in ("accuracy", "recall", "calibration_error", "confusion")}


def drop_interval(lost: float, won: float, pictures: float) -> tuple[float, float]:
    """The interval of the drop in percentage points, at `CONFIDENCE`.

    For two proportions measured on the same pictures: the Wald interval with one picture added to either kind of
    change (Bonett & Price 2012), which keeps its width when nothing changed.
    """
    total = pictures + 2
    worse, better = (lost + 1) / total, (won + 1) / total
    middle = worse - better
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt((worse + better - middle**2) / total)
    return 100 * (middle - half), 100 * (middle + half)


def verdict(figures: dict[str, Any], pictures: int, tolerance: float) -> str:
    """ "pass", "fail", or "undecided: N more pictures needed", by the rules of `RULES`."""
    if figures["agreement"] == 1 and figures["score_change"]["largest"] < SAME_SCORES:
        return "pass"
    low, high = figures["drop_interval_points"]
    if high <= tolerance:
        return "pass"
    if low > tolerance:
        return "fail"
    return f"undecided: {pictures_needed(figures['lost'], figures['won'], pictures, tolerance)} more pictures needed"


RULES = f"""\
The drop is the accuracy of the Keras model less that of the variant, on the same validation pictures, in percentage
points. Its {CONFIDENCE:.0%} interval comes from the pictures that only one of the two has right (Bonett & Price 2012).
pass: the whole interval lies within the tolerance, or no label changed and no score by {SAME_SCORES} or more.
fail: the whole interval lies above the tolerance.
undecided: the interval holds the tolerance; the number says how many more pictures would settle it, if they changed
their answers as often as these did."""


def pictures_needed(lost: int, won: int, pictures: int, tolerance: float) -> int:
    """How many more validation pictures would decide, at the same rates of change; at most `MOST_PICTURES`."""

    def decided(total: int) -> bool:
        share = total / pictures
        low, high = drop_interval(lost * share, won * share, total)
        return high <= tolerance or low > tolerance

    few, enough = pictures, 2 * pictures
    while not decided(enough):
        few, enough = enough, 2 * enough
        if few > MOST_PICTURES:
            return MOST_PICTURES
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if decided(middle) else (middle, enough)
    return enough - pictures


def mcnemar(lost: int, won: int) -> float:
    """The two-sided p-value of McNemar's exact test: that as many pictures are lost as won, but for chance."""
    changed = lost + won
    tail = sum(math.comb(changed, count) for count in range(min(lost, won) + 1))
    return min(1.0, 2 * tail / 2**changed)


def calibration_error(scores: np.ndarray, truth: np.ndarray) -> float:
    """Expected calibration error, 0 to 1: top score against the share of right answers, by `BINS` bins."""
    top, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    bins = np.clip(np.ceil(top * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = [abs(top[bins == i].mean() - right[bins == i].mean()) * (bins == i).mean() for i in np.unique(bins)]
    return float(sum(gaps))
