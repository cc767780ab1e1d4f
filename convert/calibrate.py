"""Calibration: which pictures show the range of every activation, and what they show."""

import hashlib
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.graph import WEIGHTED, Graph, run
from edge.errors import UserError
from edge.folder import find_pictures
from edge.model.contract import ModelSpec
from edge.model.preprocess import FLOAT32, lookup_table, prepare
from edge.pictures import read_picture
from train.dataset import Picture
from train.progress import progress


def choose_pictures(pictures: Sequence[Picture], count: int, seed: int = 0) -> list[Picture]:
    """Take `count` pictures, as evenly from the labels as they allow, shuffled."""
    generator = random.Random(seed)
    by_label: dict[int, list[Picture]] = {}
    for picture in pictures:
        by_label.setdefault(picture.label, []).append(picture)
    for group in by_label.values():
        generator.shuffle(group)
    chosen: list[Picture] = []
    while len(chosen) < min(count, len(pictures)):
        for group in by_label.values():
            if group and len(chosen) < count:
                chosen.append(group.pop())
    generator.shuffle(chosen)
    return chosen


def folder_pictures(folder: Path) -> list[Picture]:
    """The pictures below a folder, whatever they show (all with label 0).

    Raises:
        UserError: if there is no readable picture.
    """
    if not folder.is_dir():
        raise UserError(f"--calibration-dir: expected a folder of pictures, found {folder}")
    found = find_pictures(folder)
    if not found.pictures:
        raise UserError(f"--calibration-dir: {folder}: expected pictures, found {found.left_out() or 'none'}")
    pictures = []
    for path in found.pictures:
        read_picture(path)
        pictures.append(Picture(path, 0, hashlib.sha256(path.read_bytes()).hexdigest()))
    return pictures


def samples(pictures: Sequence[Picture], spec: ModelSpec) -> Iterator[list[np.ndarray]]:
    """Yield lists of one float32 tensor (1, height, width, 3), prepared as on the device.

    The first tensor has a black and a white pixel in its corners. So the range of the input is exactly that of a
    pixel, and its scale and zero point become exactly the normalization: uint8 pixels then need no arithmetic.
    """
    ends = lookup_table(spec.mean, spec.std, FLOAT32)
    assert ends is not None  # float tables always change something
    for number, picture in enumerate(progress("calibrating", len(pictures), iterable=pictures)):
        tensor = prepare(read_picture(picture.path), spec)
        if number == 0:
            tensor[0, 0, 0], tensor[0, -1, -1] = ends[0, 0], ends[0, 255]
        yield [tensor]


@dataclass(frozen=True)
class Seen:
    """What calibration pictures showed of a tensor of a float graph.

    Attributes:
        low, high: the smallest and the largest value.
        mean: float64 (channels,), of a tensor that a layer with weights takes; else None.
    """

    low: float
    high: float
    mean: np.ndarray | None = None


def observe(graph: Graph, tensors: Iterable[np.ndarray]) -> dict[str, Seen]:
    """Run a float graph on tensors (1, height, width, 3): what each of its tensors showed, by name."""
    watched = [*graph.part.inputs, *(tensor for op in graph.operators for tensor in op.outputs if tensor >= 0)]
    watched = [t for t in dict.fromkeys(watched) if graph.dtype(t) == np.float32 and graph.constant(t) is None]
    taken = {op.inputs[0] for op in graph.operators if graph.kind(op) in WEIGHTED}

    def look(values: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        ends = np.array([(each.min(), each.max()) for each in values], np.float64)
        rows = [
            each.reshape(-1, each.shape[-1]) for tensor, each in zip(watched, values, strict=True) if tensor in taken
        ]
        return ends, [each.mean(axis=0) for each in rows]

    watching = graph.cut(graph.operators, graph.part.inputs, watched)
    ends, means = zip(*run(watching, ([tensor] for tensor in tensors), look), strict=True)
    low, high = np.min(ends, axis=0)[:, 0], np.max(ends, axis=0)[:, 1]
    mean = iter([np.mean(rows, axis=0, dtype=np.float64) for rows in zip(*means, strict=True)])
    return {
        graph.name(tensor): Seen(float(low[i]), float(high[i]), next(mean) if tensor in taken else None)
        for i, tensor in enumerate(watched)
    }


def input_levels(spec: ModelSpec) -> tuple[float, int, float]:
    """How pixels become the levels of a uint8 input: its scale, its zero point, and by how much it lies off.

    Where the three channels share one normalization, each level is a pixel: no arithmetic on the device. With a mean of
    127.5 the zero point would have to lie between two levels, and rounding to either side would lose half of them: so
    all of the input lies half a level too high, which is taken out of the first bias (`convert.correct`).
    """
    (mean, *means), (std, *stds) = spec.mean, spec.std
    if 0 <= mean <= 255 and {mean, *means} == {mean} and {std, *stds} == {std}:
        zero_point = math.ceil(mean - 0.5)
        return 1 / std, zero_point, (mean - zero_point) / std
    low = min((0 - mean) / std for mean, std in zip(spec.mean, spec.std, strict=True))
    high = max((255 - mean) / std for mean, std in zip(spec.mean, spec.std, strict=True))
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return scale, round(-low / scale), 0.0
