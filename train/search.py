"""`--minutes N`: the best model that so many minutes find.

What pays early comes first: the small backbone, the large one, that which is best with more pixels, then with mirrored
views. Each is a head solved on cached features, and is judged by the same folds of the same pictures. What is left of
the time trains the last layers of the best one. All that was computed is cached: the same command goes on where it was.
"""

import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.files import whole
from edge.share import wilson
from train.backbones import BACKBONES, build_backbone
from train.catalogue import multiply_adds
from train.dataset import Dataset
from train.options import Options
from train.prepare import prepare
from train.progress import counting, say
from train.run import fitted_on, solve_head, train_run

TABLE = "search.csv"
_BACKBONES = "efficientnet-lite0", "efficientnet-lite2"  # both need no network
_LARGER = 1.25  # times the side
_MIRRORED = ["flip=1", *(f"{each}=off" for each in ("rotation", "shift", "shear", "zoom", "light", "colour", "blur"))]
# Seconds for a multiply-add of the features, two cores, until the first candidate has measured it; training a layer
# takes ten times as long as asking it.
_PRIOR, _TRAINING = 2.5e-11, 10.0
_LAST = 20.0  # seconds for figures and report at the end, beside three times those of the head


@dataclass(frozen=True)
class Tried:
    """One candidate.

    Attributes:
        options: it as a command line.
        multiply_adds: of one picture.
        right: whether each picture was answered right, by a head that neither was fitted on it nor chosen by it.
        seconds: for its features, and for its head.
    """

    options: Options
    multiply_adds: int
    right: dict[Path, bool]
    seconds: tuple[float, float]

    @property
    def accuracy(self) -> float:
        return sum(self.right.values()) / len(self.right)

    def row(self, kept: "Tried") -> dict[str, Any]:
        """For tables."""
        return {
            "model": name(self.options),
            "multiply_adds": self.multiply_adds,
            "accuracy": self.accuracy,
            "interval": list(wilson(sum(self.right.values()), len(self.right))),
            "seconds": round(sum(self.seconds), 2),
            "kept": self is kept,
        }


def name(options: Options) -> str:
    """A candidate in words."""
    views = ", mirrored too" if options.augment else ""
    return f"{options.backbone} at {options.size} px{views}"


def search(options: Options, data: Dataset, started: float) -> int:
    """Try what fits into the minutes, keep the best, and write its run directory; the exit status.

    Args:
        started: when the command did, by `time.perf_counter`.
    """
    until = started + 60 * options.minutes
    tried: list[Tried] = []
    try:
        with counting(options.minutes, started) as bar:
            for plan in _plans(options, tried):
                costs = _cost(plan, data, tried)
                if tried and time.perf_counter() + costs + _reserve(tried) > until:
                    say(f"left out: {name(plan)}: it may take {costs / 60:.1f} minutes")
                    continue
                tried.append(_try(plan, data))
                best = choose(tried, options.prefer)
                bar.set_description_str(f"{best.accuracy:.2%} by {name(best.options)}")
                if best.accuracy == 1 and options.prefer == "accuracy":  # what follows costs more, and can gain nothing
                    break
    except KeyboardInterrupt:
        if not tried:
            raise
        say("stopped by Ctrl-C: the best so far is kept")
        until = 0.0
    best = choose(tried, options.prefer)
    until -= _reserve(tried)
    rows = [each.row(best) for each in tried]
    for row in rows:
        low, high = (100 * each for each in row["interval"])
        say(
            f"{row['accuracy']:7.2%} out of fold ({low:.1f} to {high:.1f} %), {row['multiply_adds'] / 1e6:.0f} M "
            f"multiply-adds, {row['model']}{', kept' * row['kept']}"
        )
    write_table(options.out / TABLE, rows)
    final = best.options
    if best.accuracy < 1 and not options.promise and _trains(best, tried, data, until):
        final = replace(final, unfreeze=_opened(best.options), augment=1, augmentation=[])
    elif best.accuracy < 1 and not options.promise:
        say("the backbone stays frozen: training its last layers would take longer")
    return train_run(final, data, started, rows, until)


def _plans(options: Options, tried: list[Tried]) -> Iterator[Options]:
    """What to try, what pays early first; the later ones depend on what was found."""
    for backbone in [options.backbone] if options.backbone else _BACKBONES:
        yield replace(options, backbone=backbone, size=options.size or BACKBONES[backbone].size)
    best = choose(tried, options.prefer).options
    assert best.size
    if not options.size:
        yield replace(best, size=round(_LARGER * best.size / 32) * 32)
        best = choose(tried, options.prefer).options
    yield replace(best, augment=1, augmentation=_MIRRORED)


def _try(options: Options, data: Dataset) -> Tried:
    clock = time.perf_counter()
    ready = prepare(options, data)
    computed = time.perf_counter()
    solution = solve_head(options, ready, data)
    pictures = fitted_on(options, data)
    right = solution.held_out.argmax(axis=1) == [picture.label for picture in pictures]
    table = dict(zip((picture.path for picture in pictures), right.tolist(), strict=True))
    return Tried(options, multiply_adds(ready.base), table, (computed - clock, time.perf_counter() - computed))


def choose(tried: list[Tried], prefer: str) -> Tried:
    """The one that is right most often; or (`prefer` "size") the smallest of those that are within one standard error
    of it, picture by picture: all answered the same ones."""
    best = max(tried, key=lambda each: (each.accuracy, -each.multiply_adds))
    if prefer == "accuracy":
        return best

    def near(each: Tried) -> bool:
        lost = np.array([best.right[path] - each.right[path] for path in best.right], float)
        return bool(lost.sum() <= np.sqrt(np.square(lost).sum()))

    return min(filter(near, tried), key=lambda each: (each.multiply_adds, -each.accuracy))


def _counts(data: Dataset, options: Options) -> int:
    """How many pictures and views go through the backbone."""
    views = options.augment * len(data.fold_pictures())
    return len(data.train) + len(data.validation) + len(data.test) + views


def _rate(tried: list[Tried], data: Dataset) -> float:
    """Seconds that a multiply-add takes when features are computed; those that were known say nothing."""
    plain = [each for each in tried if not each.options.augment]
    rates = [each.seconds[0] / _counts(data, each.options) / each.multiply_adds for each in plain]
    measured = max(rates, default=0.0)
    return measured if measured > _PRIOR / 10 else _PRIOR


def _cost(plan: Options, data: Dataset, tried: list[Tried]) -> float:
    """Seconds that a candidate takes if no earlier run has left its features."""
    base, _ = build_backbone(plan.backbone, "none", plan.size, width=plan.width)
    plain = replace(plan, augment=0, augmentation=[])
    known = _counts(data, plain) if any(each.options == plain for each in tried) else 0
    return (_counts(data, plan) - known) * multiply_adds(base) * _rate(tried, data)


def _reserve(tried: list[Tried]) -> float:
    return _LAST + 3 * max((each.seconds[1] for each in tried), default=0.0)


def _trains(best: Tried, tried: list[Tried], data: Dataset, until: float) -> bool:
    """Whether there is time to train the last layers: their maps of all pictures and of a view each, two epochs."""
    seconds = _rate(tried, data) * best.multiply_adds
    maps = seconds * (_counts(data, best.options) + len(data.train))
    epochs = 2 * seconds * _TRAINING * _SHARE * len(data.train)
    return time.perf_counter() + maps + epochs < until


_SHARE = 0.3  # of the multiply-adds that are in the opened layers, about


def _opened(options: Options) -> str:
    """The layer that training begins with: the one behind the last but one of the depths below the top."""
    base, backbone = build_backbone(options.backbone, "none", options.size, width=options.width)
    names = [layer.name for layer in base.layers]
    return names[names.index(backbone.taps[1]) + 1]


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """One CSV row a candidate."""
    flat = [{**row, "low": row["interval"][0], "high": row["interval"][1]} for row in rows]
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, [key for key in flat[0] if key != "interval"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(flat)
