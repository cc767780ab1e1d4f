"""What the answers of a variant say against those of the reference: the drop, how sure it is, and the verdict."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from convert.paired import chance_of_decision, interval, p_below, simulated
from train.figures import confusion_matrix

ALPHA = 0.05  # how often a true drop of the tolerance may pass: of one scheme, or of all of them together
CONFIDENCE = 1 - 2 * ALPHA  # of the two-sided interval
POWER = 0.8  # the chance of a decision that "N more pictures" stands for
MOST = 5000, 10  # pictures in all, and times those there are: whoever needs more than both had better try another way
STEPS = 80  # in which the number of pictures is looked for
BINS = 15  # of the calibration error, as in Guo et al. (2017)
SAME_SCORES = 1e-3  # a variant that never strays further, and never to another label, is the same model


def compare(reference: np.ndarray, scores: np.ndarray, truth: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """All figures of a variant against the reference, as JSON values.

    Args:
        reference, scores: (pictures, labels), 0 to 1.
        truth: the right labels, integers (pictures,).
        labels: their names.

    Returns:
        `accuracy` and `agreement` (fractions), `drop_points` with its interval, `lost` and `won` (pictures that only
        the reference, only the variant has right), the p-value of McNemar's test, `score_change` (largest and mean
        absolute), `recall` by label, `labels_lost` (those whose recall fell by more than chance), `calibration_error`,
        and `confusion` (rows: true labels).
    """
    before, after = reference.argmax(axis=1), scores.argmax(axis=1)
    worse, better = (before == truth) & (after != truth), (before != truth) & (after == truth)
    lost, won = int(worse.sum()), int(better.sum())
    low, high = interval(lost, won, len(truth), ALPHA)
    change = np.abs(reference - scores)
    changes = {label: (int(worse[truth == i].sum()), int(better[truth == i].sum())) for i, label in enumerate(labels)}
    return {
        "pictures": len(truth),
        "accuracy": float((after == truth).mean()),
        "drop_points": round(100 * (lost - won) / len(truth), 4),
        "drop_interval_points": [round(100 * low, 3), round(100 * high, 3)],
        "lost": lost,
        "won": won,
        "mcnemar_p": mcnemar(lost, won),
        "agreement": float((before == after).mean()),
        "score_change": {"largest": float(change.max()), "mean": float(change.mean())},
        "recall": {label: float((after[truth == i] == i).mean()) for i, label in enumerate(labels) if i in truth},
        "labels_lost": labels_lost(changes),
        "calibration_error": calibration_error(scores, truth),
        "confusion": confusion_matrix(truth, after, len(labels)).tolist(),
    }


def reference_figures(scores: np.ndarray, truth: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """What there is to say of the reference itself, in the words of `compare`."""
    figures = compare(scores, scores, truth, labels)
    return {name: figures[name] for name in ("accuracy", "recall", "calibration_error", "confusion")}


def labels_lost(changes: dict[str, tuple[int, int]]) -> list[str]:
    """The labels that lost more pictures than they won, beyond chance: McNemar's test, one-sided, by Holm.

    Args:
        changes: label to pictures lost and won.
    """
    chances = {label: _tail(won, lost + won) for label, (lost, won) in changes.items()}
    kept = holm(list(chances.values()), ALPHA)
    return [label for label, significant in zip(chances, kept, strict=True) if significant]


def judge(rows: Sequence[dict[str, Any]], tolerance: float, alpha: float = ALPHA, together: int = 0) -> list[str]:
    """The verdicts on variants that were proved together, by the rules of `RULES`.

    "pass", "fail", or a text that begins with "undecided". The chance that any of those pass whose true drop is
    `tolerance` points is at most `alpha` (Holm 1979).

    Args:
        rows: what `compare` gave of each.
        together: of how many tests these are the first, where more may follow.
    """
    tested = [row for row in rows if not same_model(row)]
    drop = tolerance / 100
    more = [1.0] * max(0, together - len(tested))
    passed = holm([p_below(row["lost"], row["won"], row["pictures"], drop) for row in tested] + more, alpha)
    verdicts = {id(row): "pass" for row in rows}
    for row, good in zip(tested, passed, strict=False):
        outcome = row["lost"], row["won"], row["pictures"]
        if not good and p_below(outcome[1], outcome[0], outcome[2], -drop) <= ALPHA:
            verdicts[id(row)] = "fail"
        elif not good:
            verdicts[id(row)] = undecided(*outcome, tolerance, alpha / max(together, len(tested)))
    return [verdicts[id(row)] for row in rows]


RULES = f"""\
The drop is the accuracy of the Keras model less that of the variant, on the same pictures, in percentage points. Its
{CONFIDENCE:.0%} interval comes from the pictures that only one of the two has right, by an exact unconditional test
with the statistic of Tango (1998).
pass: a drop of the tolerance or more is ruled out, or no label changed and no score by {SAME_SCORES} or more. Where
the true drop is the tolerance, that happens in at most {ALPHA:.0%} of all cases; where several schemes are proved
together, to any of them in at most {ALPHA:.0%} (Holm 1979).
fail: a drop of the tolerance or less is ruled out.
undecided: neither. The number says how many more pictures would decide with a chance of {POWER:.0%}, if their answers
changed as often as these did."""


def simulations(pictures: int, tolerance: float) -> dict[str, Any]:
    """How often a variant passes wrongly: `rows` of (pictures, shares), a share for each true rate `won`."""
    won, draws = [0.0, 0.001, 0.005, 0.02, 0.05], 10_000
    drop = min(tolerance / 100, 0.5)
    counts = sorted({60, 300, 1000, 5000, pictures})
    rows = [(count, [simulated(count, drop, rate, ALPHA, draws=draws) for rate in won]) for count in counts]
    return {"won": won, "draws": draws, "rows": rows}


def same_model(row: dict[str, Any]) -> bool:
    """Whether a variant gives the labels of the reference, and its scores as good as unchanged."""
    return row["agreement"] == 1 and row["score_change"]["largest"] < SAME_SCORES


def holm(chances: Sequence[float], alpha: float) -> list[bool]:
    """Which null hypotheses fall, so that the chance of any that falls wrongly is at most `alpha` (Holm 1979)."""
    fallen = [False] * len(chances)
    for rank, place in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        if chances[place] > alpha / (len(chances) - rank):
            break
        fallen[place] = True
    return fallen


def undecided(lost: int, won: int, pictures: int, tolerance: float, alpha: float = ALPHA) -> str:
    """How many more pictures would decide, or why they hardly would."""
    needed = pictures_needed(lost, won, pictures, tolerance, alpha)
    if needed is not None:
        return f"undecided: {needed} more pictures needed"
    high = math.ceil(1000 * interval(lost, won, pictures, alpha)[1]) / 10
    drop = 100 * (lost - won) / pictures
    near = f"lies so near the tolerance of {tolerance:g}"
    if abs(drop - tolerance) > tolerance / 2:
        near = f"comes of so many changes ({lost} of {pictures} pictures lost, {won} won)"
    return (
        f"undecided: the measured drop of {drop:.2f} points {near} that more pictures hardly help; try another "
        f"--scheme, or --tolerance {high:g}"
    )


def pictures_needed(lost: int, won: int, pictures: int, tolerance: float, alpha: float = ALPHA) -> int | None:
    """How many more pictures decide with a chance of `POWER`, at the same rates of change; None: more than `MOST`."""

    def decided(total: int) -> bool:
        return chance_of_decision(lost / pictures, won / pictures, total, tolerance / 100, alpha) >= POWER

    times = max(MOST[0] / pictures, MOST[1])
    totals = sorted({math.ceil(pictures * times ** (step / STEPS)) for step in range(1, STEPS + 1)})
    if not decided(totals[-1]):
        return None
    few, enough = -1, len(totals) - 1
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if decided(totals[middle]) else (middle, enough)
    return totals[enough] - pictures


def mcnemar(lost: int, won: int) -> float:
    """The two-sided p-value of McNemar's exact test: that as many pictures are lost as won, but for chance."""
    return min(1.0, 2 * _tail(min(lost, won), lost + won))


def _tail(count: int, changed: int) -> float:
    """The probability of `count` heads or fewer in `changed` tosses of a coin."""
    return sum(math.comb(changed, number) for number in range(count + 1)) / 2**changed


def calibration_error(scores: np.ndarray, truth: np.ndarray) -> float:
    """Expected calibration error, 0 to 1: top score against the share of right answers, by `BINS` bins."""
    top, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    bins = np.clip(np.ceil(top * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = [abs(top[bins == i].mean() - right[bins == i].mean()) * (bins == i).mean() for i in np.unique(bins)]
    return float(sum(gaps))
