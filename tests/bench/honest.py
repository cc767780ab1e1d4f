"""What a run says of itself against what is true: many random splits of a folder of photos.

    python -m tests.bench.honest --data photos
    python -m tests.bench.honest --data photos --splits 5 --each 10

Each split gives some pictures of every label to the head, as a run gets them (all of its choices are made on them), and
keeps the others from it. Told is the accuracy out of fold with its interval of 95 %, true is that on the pictures that
were kept away. "Held" counts the intervals that have the mean of the true accuracies in them, and those that have the
true one of their own split: that is a sample too, of the pictures that the head did not get, so fewer do.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from edge.model.contract import ModelSpec
from tests.bench.table import markdown
from train.backbones import build_backbone
from train.dataset import Picture, load_dataset
from train.features import Features, extract, keras_engine
from train.figures import figures
from train.heads import folds, solve
from train.model import build_classifier, parts, split_at_features
from train.named import data_folder


def features_of(data: Path, backbone: str) -> tuple[list[Picture], Features, tuple[str, ...]]:
    """All pictures of a folder, whatever their split; their features; the labels."""
    found = load_dataset(data)
    pictures = list({picture.digest: picture for picture in [*found.train, *found.validation, *found.test]}.values())
    base, entry = build_backbone(backbone)
    spec = ModelSpec(found.labels, base.input_shape[1:3], mean=entry.mean, std=entry.std)
    model = build_classifier(base, len(found.labels), taps=entry.taps)
    return pictures, extract(keras_engine(split_at_features(model)[0], spec, parts(model)), pictures), found.labels


def one_split(
    pictures: list[Picture], features: np.ndarray, labels: tuple[str, ...], seed: int, share: float, each: int | None
) -> tuple[float, tuple[float, float], float]:
    """The accuracy that is told, its interval, and the true one."""
    dice, truth = np.random.default_rng(seed), np.array([picture.label for picture in pictures])
    known = np.zeros(len(pictures), bool)
    for label in range(len(labels)):
        own = dice.permutation(np.flatnonzero(truth == label))
        known[own[: each or max(2, round(share * len(own)))]] = True
    fold = folds([picture for picture, is_known in zip(pictures, known, strict=True) if is_known], seed)
    solution = solve(features[known], truth[known], len(labels), fold)
    told = figures(solution.held_out.argmax(axis=1), truth[known], labels)
    true = figures(solution.head.logits(features[~known]).argmax(axis=1), truth[~known], labels)
    if not each:
        return told.accuracy, told.interval, true.accuracy
    # Where the labels are as many in the one and not in the other, each label counts as it does in what was told.
    return told.accuracy, told.interval, float(np.mean([value or 0.0 for value in true.recall.values()]))


def main() -> str:
    parser = argparse.ArgumentParser("python -m tests.bench.honest")
    parser.add_argument("--data", required=True)
    parser.add_argument("--backbone", default="efficientnet-lite0")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--share", type=float, default=0.5, help="of each label that the head gets")
    parser.add_argument("--each", type=int, help="as many of each label instead")
    options = parser.parse_args()
    pictures, found, labels = features_of(data_folder(options.data), options.backbone)
    features = found[:]
    rows = [["split", "told", "interval", "true"]]
    told, true, intervals = [], [], []
    for seed in range(options.splits):
        accuracy, (low, high), truth = one_split(pictures, features, labels, seed, options.share, options.each)
        told.append(accuracy)
        true.append(truth)
        intervals.append((low, high))
        rows.append([str(seed), f"{accuracy:.2%}", f"{low:.2%} to {high:.2%}", f"{truth:.2%}"])
        print(rows[-1], file=sys.stderr, flush=True)
    mean = float(np.mean(true))
    held = sum(low <= mean <= high for low, high in intervals)
    own = sum(low <= truth <= high for (low, high), truth in zip(intervals, true, strict=True))
    rows.append(["mean", f"{np.mean(told):.2%}", f"held {held} of {options.splits}; its own {own}", f"{mean:.2%}"])
    return markdown(rows)


if __name__ == "__main__":
    print(main())
