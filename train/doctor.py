"""The doctor: looks at the photos, and says what is wrong with them and what to do. It changes nothing.

Each check is one row of a table, and gives one finding or none. All of them take what was computed anyway: the features
of the pictures, answers of heads that were not fitted on them, and what is known of the files.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.model.contract import ModelSpec
from edge.model.head import softmax
from edge.share import wilson
from train.confident_learning import suspects
from train.dataset import Dataset, Picture
from train.groups import NEAR, Rows, directions
from train.heads import folds
from train.known import look
from train.learning_curve import out_of_fold
from train.looks import Look

LOOK, ASIDE, MOVE, KEEP = "look", "set aside", "move to ", "keep"
_WIDE = 8192  # features from here on are projected first
_BLOCK = 1 << 22  # cosines, or shares, that are in memory at a time
_ODD = 3.5  # modified z-score of what stands out (Iglewicz & Hoaglin, "How to detect and handle outliers", 1993)
_DARK, _WHITE = 60.0, 0.3  # mean grey, share of white pixels: what stands out and is beyond this
_LONG = 2.0  # times longer than the input of the model
_UNEVEN = 4  # times as many pictures
_TOLD = 0.5  # of a property: share of a class that it finds, less the share of the others that it takes for it


@dataclass(frozen=True)
class Row:
    """A picture of a finding: what to do with it, what is to be seen, and the picture that it is compared with."""

    path: Path
    suggestion: str
    remark: str = ""
    other: Path | None = None


@dataclass(frozen=True)
class Finding:
    """What a check found: a name, a sentence, what to do, and the pictures, worst first."""

    name: str
    sentence: str
    advice: str
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """All that the checks look at.

    Attributes:
        pictures: of all splits.
        split: the folder of a split that each picture lies in, (pictures,); one for all that are split here.
        labels: int (pictures,).
        scores: (pictures, labels), by heads that were not fitted on the picture.
        looks: of each picture.
        pixels: int (pictures,): equal for those that show the same.
        unit: float32 (pictures, directions): the products of its rows are the cosines of the centred features.
        fold: int (pictures,).
    """

    data: Dataset
    spec: ModelSpec
    pictures: list[Picture]
    split: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    looks: list[Look]
    pixels: np.ndarray
    unit: np.ndarray
    fold: np.ndarray

    def name(self, label: int) -> str:
        return f"`{self.data.labels[label]}`"


def examine(data: Dataset, spec: ModelSpec, features: np.ndarray, top: Rows) -> Case:
    """Look at all pictures of the data, in the order of training, validation and test.

    Args:
        features: float32 (pictures, features).
        top: the deepest of them, (pictures, features).
    """
    pictures = [*data.train, *data.validation, *data.test]
    names = ["train"] * len(data.train) + ["train" if data.own_split else "validation"] * len(data.validation)
    labels, fold = np.array([picture.label for picture in pictures]), folds(pictures)
    facts = look([picture.path for picture in pictures])
    found = [facts[picture.path] for picture in pictures]
    unit = directions(top, len(pictures))
    rows = unit if features.shape[1] > _WIDE else features
    return Case(
        data,
        spec,
        pictures,
        np.array(names + ["test"] * len(data.test)),
        labels,
        softmax(out_of_fold(rows, labels, len(data.labels), fold)),
        [fact.look for fact in found if fact.look],
        np.unique([fact.pixels for fact in found], return_inverse=True)[1],
        unit,
        fold,
    )


def diagnose(case: Case) -> list[Finding]:
    """What all checks find, the most serious first."""
    return [finding for check in CHECKS for finding in check(case)]


def _unreadable(case: Case) -> list[Finding]:
    rows = [Row(path, LOOK, reason) for path, reason in sorted(case.data.skipped.items())]
    said = f"{_pictures(rows)} cannot be read, and {_verb(rows, 'is', 'are')} left out."
    return _finding("unreadable", said, "Save them anew as JPEG, or set them aside.", rows)


def _wrong_label(case: Case) -> list[Finding]:
    order, seems = suspects(case.scores, case.labels)
    rows = [
        Row(
            case.pictures[i].path,
            MOVE + case.data.labels[to],
            f"{case.name(case.labels[i])}; looks like {case.name(to)} ({case.scores[i, to]:.0%})",
        )
        for i, to in zip(order.tolist(), seems.tolist(), strict=True)
    ]
    said = f"{_pictures(rows)} of {len(case.pictures)} may have a wrong label: a model of the others says so."
    advice = "Look at each. In doctor.csv keep `move to …` where the doctor is right; where not, write `keep`."
    return _finding("wrong label", said, advice, rows)


def _copies(case: Case) -> list[Finding]:
    """The same pixels, under two labels, in two splits, or twice."""
    same: dict[int, list[int]] = defaultdict(list)
    for index, number in enumerate(case.pixels.tolist()):
        same[number].append(index)
    labels, splits, twice = list[Row](), list[Row](), list[Row]()
    answers = case.scores.argmax(axis=1)
    for members in same.values():
        path = [case.pictures[i].path for i in members]
        if len(set(case.labels[members])) > 1:
            for place, i in enumerate(members):
                # The model takes sides where it has an answer that is one of theirs.
                wrong = answers[i] in case.labels[members] and answers[i] != case.labels[i]
                labels.append(Row(path[place], ASIDE if wrong else LOOK, case.name(case.labels[i]), path[place - 1]))
        elif len(set(case.split[members])) > 1:
            kept = next(i for i in reversed(members) if case.split[i] != "train")
            here = case.pictures[kept].path
            splits += [Row(case.pictures[i].path, ASIDE, case.split[i], here) for i in members if i != kept]
        else:
            twice += [Row(each, ASIDE, "", path[0]) for each in path[1:]]
    return [
        *_finding(
            "two labels",
            f"{_pictures(labels)} {_verb(labels, 'stands', 'stand')} under two labels, with the same pixels.",
            "One of the labels is wrong: set that copy aside.",
            labels,
        ),
        *_finding(
            "two splits",
            f"{_pictures(splits)} {_verb(splits, 'stands', 'stand')} in another split too: the accuracy will flatter.",
            "Set the copy aside; that of the test or validation folder stays.",
            splits,
        ),
        *_finding(
            "copy",
            f"{_pictures(twice)} {_verb(twice, 'is a copy', 'are copies')} of another one of the same label.",
            "Set the copies aside: a model learns nothing from them.",
            twice,
        ),
    ]


def _near(case: Case) -> list[Finding]:
    """The nearest other picture of each, by cosine of the centred features, in blocks."""
    count, step = len(case.pictures), max(1, _BLOCK // max(1, len(case.pictures)))
    best = {name: (np.zeros(count, np.int64), np.zeros(count)) for name in ("labels", "splits", "label")}
    for start in range(0, count, step):
        own = slice(start, start + step)
        cosine = case.unit[own] @ case.unit.T
        cosine[case.pixels[own, None] == case.pixels] = -1  # itself and its copies, which are told of by themselves
        label, split = case.labels[own, None] == case.labels, case.split[own, None] == case.split
        for name, mask in (("labels", ~label), ("splits", label & ~split), ("label", label & split)):
            values = np.where(mask, cosine, -1)
            best[name][0][own], best[name][1][own] = values.argmax(axis=1), values.max(axis=1)
    found: dict[str, list[Row]] = {}
    for name, suggestion in (("labels", LOOK), ("splits", ASIDE), ("label", KEEP)):
        other, likeness = best[name]
        rows, pairs = [], set[tuple[int, int]]()
        for i in np.argsort(-likeness, kind="stable")[: int((likeness >= NEAR).sum())].tolist():
            pair = min(i, int(other[i])), max(i, int(other[i]))
            if pair not in pairs and (name != "splits" or case.split[i] == "train"):
                pairs.add(pair)
                rows.append(Row(case.pictures[i].path, suggestion, f"cosine {likeness[i]:.3f}",
                                case.pictures[other[i]].path))  # fmt: skip
        found[name] = rows
    alike = {
        name: f"{_pictures(rows)} {_verb(rows, 'looks', 'look')} nearly the same as" for name, rows in found.items()
    }
    from_here = f"(cosine of the features from {NEAR} up)"
    return [
        *_finding(
            "nearly the same, two labels",
            f"{alike['labels']} one of another label {from_here}.",
            "Look at the pairs: one of the labels may be wrong.",
            found["labels"],
        ),
        *_finding(
            "nearly the same, two splits",
            f"{alike['splits']} one of another split {from_here}: the accuracy will flatter.",
            "Keep pictures of one subject or one moment in one split: set the training ones aside.",
            found["splits"],
        ),
        *_finding(
            "nearly the same",
            f"{alike['label']} another one of the same label {from_here}.",
            "They do no harm here, as they stay on one side of every split; but they count for less than their number.",
            found["label"],
        ),
    ]


def _series(case: Case) -> list[Finding]:
    groups: dict[str, list[Path]] = defaultdict(list)
    alone = {"", *(picture.digest for picture in case.pictures)}  # those that were grouped by likeness alone
    for picture in case.pictures:
        if picture.group not in alone and not picture.group.startswith("="):
            groups[picture.group].append(picture.path)
    rows = [
        Row(path, KEEP, f"{len(paths)} in this series", paths[0])
        for _, paths in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        if len(paths) > 1
        for path in paths[1:]
    ]
    series = sum(len(paths) > 1 for paths in groups.values())
    said = f"{len(rows) + series} pictures belong to {series} series (bursts, subjects, folders)."
    advice = "They stay on one side of every split. New subjects teach more than more pictures of the same."
    return _finding("series", said, advice, rows)


def _odd(values: np.ndarray, split: np.ndarray, floor: float) -> np.ndarray:
    """Modified z-scores within each split; `floor` is the least deviation that counts as one."""
    found = np.empty(len(values))
    for name in np.unique(split):
        own = split == name
        off = values[own] - np.median(values[own])
        found[own] = 0.6745 * off / max(float(np.median(np.abs(off))), floor)
    return found


def _light(case: Case) -> list[Finding]:
    sharp, grey, white = (
        np.array([getattr(each, name) for each in case.looks]) for name in ("sharpness", "brightness", "white")
    )
    found = []
    for name, values, odd, remark in (
        ("blurred", sharp, -_odd(sharp, case.split, 0.1), "sharpness {:.1f}"),
        ("dark", grey, -_odd(grey, case.split, 2.0) * (grey < _DARK), "mean grey {:.0f} of 255"),
        ("over-exposed", white, _odd(white, case.split, 0.02) * (white > _WHITE), "{:.0%} white"),
    ):
        order = np.argsort(-odd, kind="stable")[: int((odd > _ODD).sum())].tolist()
        rows = [Row(case.pictures[i].path, LOOK, remark.format(values[i])) for i in order]
        said = f"{_pictures(rows)} {_verb(rows, 'is', 'are')} far more {name} than the rest."
        advice = "Keep them if the camera will see such pictures too; else set them aside."
        found += _finding(name, said, advice, rows)
    return found


def _sizes(case: Case) -> list[Finding]:
    height, width = case.spec.size
    small, long = list[tuple[float, Row]](), list[tuple[float, Row]]()
    for picture, each in zip(case.pictures, case.looks, strict=True):
        size = f"{each.width} x {each.height}"
        if each.width < width and each.height < height:
            small.append((each.width * each.height, Row(picture.path, LOOK, size)))
        ratio = each.width * height / (each.height * width)
        if max(ratio, 1 / ratio) >= _LONG:
            long.append((-max(ratio, 1 / ratio), Row(picture.path, LOOK, size)))
    rows = [row for _, row in sorted(small, key=lambda item: item[0])]
    found = _finding(
        "small",
        f"{_pictures(rows)} {_verb(rows, 'is', 'are')} smaller than the model's input of {width} x {height}.",
        "They are enlarged, and blurred by that: take larger ones, or train with a smaller --size.",
        rows,
    )
    rows = [row for _, row in sorted(long, key=lambda item: item[0])]
    does = {"stretch": "are squeezed to a square", "crop": "lose their ends", "pad": "get borders"}[case.spec.resize]
    advice = {"pad": "Cut them to the thing that they show."}.get(
        case.spec.resize, "Cut them to the thing that they show, or train with --resize pad, which keeps the shape."
    )
    said = (
        f"{_pictures(rows)} {_verb(rows, 'is', 'are')} {_LONG:g} times as long as wide or more: such pictures {does}."
    )
    return found + _finding("long", said, advice, rows)


def _given_away(case: Case) -> list[Finding]:
    """Classes that a property tells apart which has nothing to do with what is shown."""
    count, found = len(case.data.labels), []
    grey = np.array([each.brightness for each in case.looks])
    ranks = np.searchsorted(np.quantile(grey, np.linspace(0, 1, 17)[1:-1]), grey)
    border = np.array([each.border for each in case.looks], np.float32)
    for name, guesses in (
        ("size", _leave_one_out([f"{each.width} {each.height}" for each in case.looks], case.labels, count)),
        ("camera", _leave_one_out([each.camera for each in case.looks], case.labels, count)),
        ("brightness", _leave_one_out(ranks.tolist(), case.labels, count)),
        ("background", out_of_fold(border, case.labels, count, case.fold, balance=True).argmax(axis=1)),
    ):
        told = []
        for label in range(count):
            own = case.labels == label
            hits, taken = int((guesses[own] == label).sum()), int((guesses[~own] == label).sum())
            low, high = wilson(hits, max(1, own.sum()))[0], wilson(taken, max(1, (~own).sum()))[1]
            if low - high >= _TOLD:
                told.append(f"{case.name(label)} ({hits} of {own.sum()} found, "
                            f"{taken} of {(~own).sum()} others taken for it)")  # fmt: skip
        if told:
            what = {"size": "The size of the picture file", "camera": "The model of the camera (EXIF)",
                    "brightness": "The brightness", "background": "The colour of the border"}[name]  # fmt: skip
            said = f"{what} alone tells {', '.join(told[:5])}" + (" and more." if len(told) > 5 else ".")
            advice = (
                f"A model may learn the {name} and not the thing. Take all classes in the same places, by one camera."
            )
            found.append(Finding(f"told by {name}", said, advice))
    return found


def _leave_one_out(keys: Sequence[object], labels: np.ndarray, count: int) -> np.ndarray:
    """The label that each picture's key is most typical of, by the other pictures; -1 for a key without others."""
    index: dict[object, int] = {}
    numbers = np.array([index.setdefault(key, len(index)) for key in keys])
    table = np.zeros((len(index), count), np.float32)
    np.add.at(table, (numbers, labels), 1)
    totals, found = table.sum(axis=0), np.empty(len(labels), np.int64)
    rows = max(1, _BLOCK // count)
    for start in range(0, len(labels), rows):
        part = slice(start, start + rows)
        own = (labels[part, None] == np.arange(count)).astype(np.float32)
        share = (table[numbers[part]] - own) / np.maximum(totals - own, 1)
        found[part] = np.where(share.max(axis=1) > 0, share.argmax(axis=1), -1)
    return found


def _uneven(case: Case) -> list[Finding]:
    counts = Counter(case.labels.tolist()).most_common()
    (most, many), (least, few) = counts[0], counts[-1]
    if many < _UNEVEN * few:
        return []
    said = f"{case.name(most)} has {many} pictures, {case.name(least)} {few}."
    return [Finding("uneven classes", said, f"Take more of {case.name(least)}, or train with --balance.")]


def _finding(name: str, sentence: str, advice: str, rows: list[Row]) -> list[Finding]:
    return [Finding(name, sentence, advice, rows)] if rows else []


def _pictures(rows: list[Row]) -> str:
    return f"{len(rows)} picture{'s' * (len(rows) != 1)}"


def _verb(rows: list[Row], one: str, many: str) -> str:
    return one if len(rows) == 1 else many


CHECKS: tuple[Callable[[Case], list[Finding]], ...] = (
    _unreadable,
    _wrong_label,
    _copies,
    _given_away,
    _near,
    _uneven,
    _light,
    _sizes,
    _series,
)
