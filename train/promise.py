"""A promise about the answers: at most a share of them wrong, with 95 % confidence.

Selective classification with a guaranteed risk (Geifman & El-Yaniv, "Selective classification for deep neural
networks", 2017): a binary search for the lowest score from which on a Clopper-Pearson bound holds the share of wrong
answers. Each of its steps is a try that is paid for: its bound has that part of the 5 % which is its own. It begins at
as many answers as could keep the promise if all were right, which no picture has a say in.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

CONFIDENCE = 0.95
_DIGITS = 6  # of a threshold
_MOST = 100  # times the pictures, of what is asked for at most


@dataclass(frozen=True)
class Promise:
    """What can be promised.

    Attributes:
        asked: the share of the given answers that may be wrong, 0 to 1.
        threshold: the smallest score for an answer; None if no score keeps the promise.
        answered: how many of the pictures get an answer.
        wrong: how many of those are wrong.
        pictures: how many there are, each answered by a head that never saw it.
        bound: the share of wrong answers, at most, with 95 % confidence; 1 without an answer.
        more: without a threshold, how many more pictures it would take, about; None if that is beyond reach.
    """

    asked: float
    threshold: float | None
    answered: int
    wrong: int
    pictures: int
    bound: float
    more: int | None

    def __str__(self) -> str:
        asked = f"at most {100 * self.asked:g} % of the answers wrong, with 95 % confidence"
        if self.threshold is not None:
            share = 100 * self.answered / self.pictures
            return f"promise: {asked}; it gives an answer to {share:.0f} % of such pictures"
        if self.more is None:
            return f"warning: no promise: {asked}: even the answers with the highest scores are wrong more often"
        return f"warning: no promise: {asked}: it would take about {self.more:,} more pictures like these"


def promise(scores: np.ndarray, truth: np.ndarray, asked: float) -> Promise:
    """The lowest threshold that keeps a promise.

    Args:
        scores: float (pictures, labels), of heads that were not fitted on the picture.
        truth: int (pictures,).
        asked: the share of the given answers that may be wrong, above 0, below 1.
    """
    best, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    order = np.argsort(-best, kind="stable")
    best, wrong = best[order], np.concatenate([[0], np.cumsum(~right[order])])
    found = None
    low, high, tries = _range(len(best), asked)
    for _ in range(tries):
        count = (low + high) // 2
        # Rounded up: a device finds other last digits, and nothing may slip in by those.
        threshold = math.ceil(best[count - 1] * 10**_DIGITS) / 10**_DIGITS
        answered = int((best >= threshold).sum())
        errors = int(wrong[answered])
        bound = at_most(errors, answered, tries)
        if bound <= asked:
            low = count + 1
            if found is None or answered > found.answered:
                found = Promise(asked, threshold, answered, errors, len(best), bound, None)
        else:
            high = count - 1
        if low > high:
            break
    return found or Promise(asked, None, 0, 0, len(best), 1.0, _more(wrong, asked))


def at_most(wrong: int, of: int, tries: int = 1) -> float:
    """The share, at most, where `wrong` of so many were counted (Clopper & Pearson, 1934), 0 to 1.

    With 95 % confidence, also where it is the best of so many tries.
    """
    return float(beta.ppf(1 - (1 - CONFIDENCE) / tries, wrong + 1, of - wrong)) if wrong < of else 1.0


def _range(pictures: int, asked: float) -> tuple[int, int, int]:
    """Between how many answers those are looked for that keep a promise, and in how many tries.

    The least is that which keeps it without a mistake: to try fewer would be to pay for nothing. A range without a
    number in it has no try.
    """
    least, tries = 1, _steps(pictures)
    while tries and (needed := math.ceil(math.log((1 - CONFIDENCE) / tries) / math.log1p(-asked))) > least:
        least, tries = needed, _steps(pictures - needed + 1)
    return least, pictures, tries


def _steps(range_: int) -> int:
    """How often a range of so many numbers can be halved."""
    return max(0, range_).bit_length()


def _more(wrong: np.ndarray, asked: float) -> int | None:
    """How many more pictures it takes, if those are as these: a search for the least multiple.

    Args:
        wrong: of as many answers as the place says, int (pictures + 1,).
    """
    pictures = len(wrong) - 1
    shares = np.unique(np.linspace(1, pictures, min(pictures, 100)).astype(int)).tolist()
    for times in np.geomspace(1, _MOST, 200):
        _, most, tries = _range(math.ceil(pictures * times), asked)
        if tries and any(
            at_most(math.ceil(wrong[count] * times), min(most, int(count * times)), tries) <= asked for count in shares
        ):
            return math.ceil(pictures * (times - 1))
    return None
