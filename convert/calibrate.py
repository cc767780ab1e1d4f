"""The representative data set: which training pictures show the converter the range of every activation."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

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
