"""How well a class that nobody trained on is told from those that are known: the hard kind of "unknown".

    python -m tests.bench.left_out photos

Each label in turn is left out. Of the other pictures, four fifths make the head, the bank and its limits; the rest is
what is known, and the class that was left out is what is foreign. Float features of EfficientNet-Lite0.
"""

import sys

import numpy as np
from scipy.stats import rankdata

from convert.known import remember
from edge.model.head import softmax
from edge.model.kept import most
from edge.model.likeness import PART, REFUSED, Bank
from tests.bench.honest import features_of
from tests.bench.table import markdown
from train.dataset import Picture
from train.heads import folds, solve
from train.named import data_folder
from train.threshold import calibrate


def main(data: str) -> str:
    pictures, found, labels = features_of(data_folder(data), "efficientnet-lite0")
    features, truth = found[:], np.array([picture.label for picture in pictures])
    rows = [["left out", "AUROC by likeness", "by score", "answered", "right answers refused"]]
    for label, name in enumerate(labels):
        figures = without(label, pictures, features, truth, found.parts[-1])
        rows.append([name, *(f"{value:.2f}" for value in figures[:2]), *(f"{value:.1%}" for value in figures[2:])])
        print(rows[-1], file=sys.stderr, flush=True)
    return markdown(rows)


def without(
    label: int, pictures: list[Picture], features: np.ndarray, truth: np.ndarray, top: slice
) -> tuple[float, float, float, float]:
    """Of a model without a label: AUROC by likeness and by score, the shares of it that are answered all the same, and
    of the right answers of known pictures that are refused."""
    foreign = truth == label
    own = truth - (truth > label)  # the labels that remain, without a gap
    known = (np.cumsum(~foreign) % 5 == 0) & ~foreign
    fitted = ~foreign & ~known
    chosen = [picture for picture, is_fitted in zip(pictures, fitted, strict=True) if is_fitted]
    chosen = [Picture(each.path, int(number), each.digest) for each, number in zip(chosen, own[fitted], strict=True)]
    solution = solve(features[fitted], own[fitted], truth.max(), folds(chosen))
    right = solution.held_out.argmax(axis=1) == own[fitted]
    limits = calibrate((softmax(solution.held_out), own[fitted]), refused=(1 - PART) * REFUSED)
    size = most(top.stop - top.start)
    made = remember(features[fitted][:, top], chosen, features[:0, top], right, PART * REFUSED, size)
    likeness = Bank(made.bank).likeness(features[:, top])
    scores = limits.apply(softmax(solution.head.logits(features)))
    best = scores.max(axis=1)
    answered = (likeness >= made.likeness) & (best >= limits.threshold)
    correct = known & (scores.argmax(axis=1) == own)
    return (
        auroc(likeness[known], likeness[foreign]),
        auroc(best[known], best[foreign]),
        float(answered[foreign].mean()),
        float((~answered[correct]).mean()),
    )


def auroc(known: np.ndarray, foreign: np.ndarray) -> float:
    """The chance that a known picture has more than a foreign one."""
    ranks = rankdata(np.concatenate([known, foreign]))[: len(known)]
    return float((ranks.sum() - len(known) * (len(known) + 1) / 2) / (len(known) * len(foreign)))


if __name__ == "__main__":
    print(main(sys.argv[1]))
