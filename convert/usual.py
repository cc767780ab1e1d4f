"""What makes a model right that is wrong by its contract: another usual normalization, or another order of its labels.

    told = remedy(answer, pictures, spec)   # None, or "with mean 0 and std 255 (0 to 1), it would be right on …"

`answer` takes float32 (pictures, height, width, 3) and gives the model's own output, (pictures, outputs), or
(pictures, 1) of one sigmoid or logit. `pictures` have known labels (`label` is an index into `spec.labels`); at most
240 of them are read. What is named beats both the contract and the commonest label by more than chance; an order of
labels is found on half of the pictures and counted on the other half.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from edge.model.contract import ModelSpec
from edge.model.preprocess import FLOAT32, prepare
from edge.pictures import read_picture
from train.dataset import Picture
from train.measure import Answer

_PICTURES, _PER_LABEL, _MOST = 48, 6, 240  # at least; for each label; and never more: it should take seconds
_BATCH = 8
_SAME = 0.03  # shares that are about the same


@dataclass(frozen=True)
class Usual:
    """A normalization that people use: (pixel - mean) / std in RGB order; `bgr` if the model then takes BGR."""

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    def __str__(self) -> str:
        def short(values: tuple[float, ...]) -> str:
            return ",".join(f"{value:g}" for value in (values[:1] if len(set(values)) == 1 else values))

        return f"mean {short(self.mean)} and std {short(self.std)} ({self.name})"


# The means and stds of ImageNet are those of torchvision times 255; the BGR means are those of Caffe's VGG.
USUAL = (
    Usual("pixels as they are, 0 to 255", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    Usual("0 to 1", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    Usual("-1 to 1", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    Usual("ImageNet, as PyTorch has it", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    Usual("caffe, in BGR order", (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), bgr=True),
)


def remedy(answer: Answer, pictures: Sequence[Picture], spec: ModelSpec) -> str | None:
    """Which usual normalization or order of the labels makes the model right, as a sentence; None if none does."""
    chosen = _some(pictures, len(spec.labels))
    truth = np.array([picture.label for picture in chosen])
    plain = ModelSpec(spec.labels, spec.size, spec.resize)
    pixels = np.concatenate([prepare(read_picture(picture.path), plain, FLOAT32) for picture in chosen])
    given = Usual("its contract", spec.mean, spec.std)
    others = [each for each in USUAL if each.bgr or (each.mean, each.std) != (spec.mean, spec.std)]
    found = {each: _best(answer, pixels, each, spec) for each in (given, *others)}
    floor = max((found[given] == truth).mean(), np.bincount(truth).max() / len(truth))
    tried = [(each, list(range(len(spec.labels))), float((found[each] == truth).mean()), len(truth)) for each in others]
    tried += [(each, *_order(found[each], truth, len(spec.labels))) for each in found]
    tried = [each for each in tried if _beats(each[2], floor, each[3])]
    top = max((share for _, _, share, _ in tried), default=0.0)
    # The simplest of those that are about as good as the best: one change before two. Equal ones are told as "or".
    good = [each for each in tried if each[2] >= top - _SAME]
    if not good:
        return None
    usual, order, share, count = good[0]
    parts = []
    if usual is not given:
        same = [str(each) for each, other, _, size in good if (other, size) == (order, count)]
        parts.append(f"with {' or '.join(same)}")
    names = [spec.labels[label] for label in order]
    if names != list(spec.labels):
        parts.append(f"with the labels {'sorted' if names == sorted(names) else 'in this order'}: {_list(names)}")
    turn = "; a contract has no BGR: put a layer that turns the channels around before the model" * usual.bgr
    return f"{', and '.join(parts)}, it would be right on {share:.0%} of {count} pictures{turn}"


def _some(pictures: Sequence[Picture], labels: int) -> list[Picture]:
    """Pictures of all labels, in turn."""
    groups: dict[int, list[Picture]] = {}
    for picture in random.Random(0).sample(list(pictures), len(pictures)):
        groups.setdefault(picture.label, []).append(picture)
    count = min(len(pictures), max(_PICTURES, min(_MOST, _PER_LABEL * labels)))
    turns = sorted((place, label) for label, group in groups.items() for place in range(len(group)))
    return [groups[label][place] for place, label in turns[:count]]


def _best(answer: Answer, pixels: np.ndarray, usual: Usual, spec: ModelSpec) -> np.ndarray:
    """The number of the highest output for each picture."""
    tensor = ((pixels - np.asarray(usual.mean)) / np.asarray(usual.std)).astype(np.float32)
    tensor = np.ascontiguousarray(tensor[..., ::-1]) if usual.bgr else tensor
    output = np.concatenate([np.asarray(answer(tensor[at : at + _BATCH])) for at in range(0, len(tensor), _BATCH)])
    if output.shape[1] == 1:
        return (output[:, 0] > (0.0 if spec.output == "logits" else 0.5)).astype(int)
    return output.argmax(axis=1)


def _order(best: np.ndarray, truth: np.ndarray, labels: int) -> tuple[list[int], float, int]:
    """The label of each output by half of the pictures, and how often that is right on the other half."""
    half = np.zeros(len(truth), bool)
    for label in np.unique(truth):
        half[np.flatnonzero(truth == label)[::2]] = True
    table = np.zeros((labels, labels))
    np.add.at(table, (best[half], truth[half]), 1)
    _, order = linear_sum_assignment(-table)
    rest = ~half
    share = float((order[best[rest]] == truth[rest]).mean()) if rest.any() else 0.0
    return order.tolist(), share, int(rest.sum())


def _beats(share: float, floor: float, count: int) -> bool:
    """Whether a share of so many pictures lies above another one by more than three standard errors."""
    return share - floor > 3 * np.sqrt(max(floor * (1 - floor), 0.05) / max(count, 1))


def _list(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
