"""What a file keeps of its training pictures, so that a device can tell what is nothing like them.

A bank of features (`edge.model.likeness`), and the likeness that a frame must reach. That is found as a device will
meet it: by pictures whose fold, or whose whole folder, had no part in the bank.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import beta, binom

from convert.int8_head import Solved
from convert.proof import Sample
from edge.drift import SHARES
from edge.model.contract import ModelFile, append_files
from edge.model.kept import keep, most
from edge.model.likeness import PART, SIZE, Bank, choose, pack
from edge.share import wilson
from train.dataset import Picture
from train.heads import folds

CONFIDENCE = 0.95
_CHANCE = 0.05  # of pictures that do not differ, to be taken for such that do


@dataclass(frozen=True)
class Known:
    """A bank and its threshold.

    Attributes:
        bank: int8 (vectors, features).
        chosen: which pictures are in it, int (vectors,): `edge.model.kept.keep` takes their features of all depths.
        likeness: the smallest one for an answer, -1 to 1.
        refused, right: how many of the right answers fall short of it.
        usual: the likeness of all pictures, right or not, as the contract has it.
    """

    bank: np.ndarray
    chosen: np.ndarray
    likeness: float
    refused: int
    right: int
    usual: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        low, high = wilson(self.refused, self.right) if self.right else (0.0, 1.0)
        return {
            "vectors": len(self.bank),
            "refused": self.refused,
            "right": self.right,
            "interval": [round(low, 4), round(high, 4)],
        }


def with_known(
    file: ModelFile, features: np.ndarray, parts: Sequence[slice], scores: np.ndarray, solved: Solved, sample: Sample
) -> tuple[bytes, dict[str, Any]]:
    """The file with a bank behind it and the likeness in its contract, and JSON notes on them.

    Args:
        features: of its own graph, float32 (pictures, features), in the order of the sample.
        parts: the columns of each depth, the last one last.
        scores: (pictures, labels), each by a head that never saw the picture.
        sample: those that the head was fitted on first, then those that the user set apart.
    """
    assert file.spec
    fitted, top, count = solved.pictures, parts[-1], len(solved.pictures)
    right = scores.argmax(axis=1) == sample.truth
    known = remember(
        features[:count, top], fitted, features[count:, top], right, PART * solved.refuse, most(top.stop - top.start)
    )
    widths = [part.stop - part.start for part in parts]
    more = keep(features[known.chosen], sample.truth[known.chosen], widths)
    told = known.to_json()
    spec = replace(file.spec, likeness=known.likeness, usual=known.usual)
    spec = replace(spec, provenance={**spec.provenance, "likeness": told})
    return append_files(file.graph, spec, more), told


def remember(
    features: np.ndarray,
    pictures: Sequence[Picture],
    held_out: np.ndarray,
    right: np.ndarray,
    share: float,
    size: int = SIZE,
) -> Known:
    """Make the bank, and set the likeness so that about `share` of the right answers fall short of it.

    Pictures that were held out from the start may differ from the others, as photos of other days do, and the camera
    is nearer to those. Where they lose more than chance explains, their limit counts; else that of the pictures
    that the bank is made of, fold by fold.

    Args:
        features: of the last depth, float32 (pictures, features), by the graph that goes into the file.
        pictures: whose they are; their groups stay together in the folds.
        held_out: the same of pictures that the model was not fitted on, (any, features), perhaps none.
        right: which answers are right, bool: of `pictures` out of fold, then of those held out.
        share: 0 to 1.
        size: vectors at most.
    """
    labels = np.array([picture.label for picture in pictures])
    fold = folds(pictures)
    found = np.empty(len(pictures), np.float32)
    for number in np.unique(fold):
        own = fold == number
        found[own] = _bank(features[~own], labels[~own], size).likeness(features[own])
    chosen = choose(features, labels, size)
    bank = pack(features[chosen])
    sides = [each for each in (found, Bank(bank).likeness(held_out)) if len(each)]
    usual = np.sort([usual_of(each) for each in sides], axis=0)
    usual = np.where(usual[0] > -1, usual[0], usual[-1])  # -1 is of a side that is too small to tell
    parts = [found[right[: len(pictures)]], Bank(bank).likeness(held_out)[right[len(pictures) :]]]
    every = np.concatenate(parts)
    limits = [float(np.quantile(part, share, method="lower")) for part in parts if len(part)]
    limit = limits[0] if limits else -1.0
    if len(limits) == 2 and binom.sf((parts[1] < limit).sum() - 1, len(parts[1]), share) < _CHANCE:
        limit = limits[1]
    # Rounded down: what the device finds differs in the last digits.
    likeness = max(-1.0, np.floor(1e4 * limit) / 1e4)
    rising = np.minimum.accumulate(usual[::-1])[::-1].round(4).tolist()
    return Known(bank, chosen, float(likeness), int((every < likeness).sum()), len(every), tuple(rising))


def usual_of(likeness: np.ndarray) -> tuple[float, ...]:
    """The likeness that no more than each of `SHARES` fall short of, by pictures that the bank does not hold, (any,).

    With 95 % confidence each (Wilks, "Determination of sample sizes for setting tolerance limits", 1941); -1 where too
    few pictures are there for that.
    """
    ordered, ranks = np.sort(likeness), np.arange(1, len(likeness) + 1)
    limits = beta.ppf(CONFIDENCE, ranks, len(likeness) + 1 - ranks)  # of the share below each
    counts = [int((limits <= share).sum()) for share in SHARES]
    return tuple(float(ordered[count - 1]) if count else -1.0 for count in counts)


def _bank(features: np.ndarray, labels: np.ndarray, size: int) -> Bank:
    return Bank(pack(features[choose(features, labels, size)]))
