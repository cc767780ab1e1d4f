"""The sample as a folder of JPEG files, drawn on all cores, and a sheet to see it at a glance."""

import json
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.errors import UserError
from edge.files import whole
from edge.sinks import overlay
from train.progress import progress
from train.sample.picture import LABELS, SPLITS, VERSION, draw

STAMP = "sample.json"
QUALITY = 92  # of the JPEG files


def write_sample(folder: str | os.PathLike[str], train: int = 200, validation: int = 60, seed: int = 0) -> Path:
    """Write FOLDER/{train,validation}/{horses,humans}/horse-0000.jpg and so on: so many pictures a class.

    The folder comes whole or not at all. One that is whole already and was made with the same numbers is given back
    at once, one made with others is replaced, and one that holds anything else is refused.
    """
    folder = Path(folder)
    counts = {"train": train, "validation": validation}
    if min(train, validation) < 1 or seed < 0:
        raise UserError(f"sample of {train} + {validation} pictures, seed {seed}: expected 1 or more, seed 0 or more")
    stamp = {"version": VERSION, **counts, "seed": seed}
    if folder.exists():
        if _stamp(folder) == stamp and all(len(_pictures(folder, s, x)) == counts[s] for s in SPLITS for x in LABELS):
            return folder
        if not folder.is_dir() or (any(folder.iterdir()) and _stamp(folder) is None):
            raise UserError(f"{folder}: expected an earlier sample or nothing here, found other things; not replaced")
    part = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        jobs = []
        for split, count in counts.items():
            for label in LABELS:
                (part / split / label).mkdir(parents=True)
                names = [part / split / label / f"{label[:-1]}-{index:04d}.jpg" for index in range(count)]
                jobs += [(name, label, split, index, seed) for index, name in enumerate(names)]
        # Spawned, because a fork after TensorFlow has started its threads may hang
        workers = min(os.cpu_count() or 1, 8, 1 + len(jobs) // 20)
        with ProcessPoolExecutor(workers, get_context("spawn"), _prepare) as pool:
            for _ in progress("drawing", len(jobs), iterable=pool.map(_paint, jobs, chunksize=4)):
                pass
        (part / STAMP).write_text(json.dumps(stamp) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _prepare() -> None:
    """A worker takes one core and leaves Ctrl-C to its parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _paint(job: tuple[Path, str, str, int, int]) -> None:
    path, label, split, index, seed = job
    if not cv2.imwrite(str(path), draw(label, split, index, seed), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]):
        raise OSError(f"could not write {path}")


def _stamp(folder: Path) -> Any:
    """What the folder says it was made with, None if it says nothing."""
    try:
        return json.loads((folder / STAMP).read_text())
    except (OSError, ValueError):
        return None


def _pictures(folder: Path, split: str, label: str) -> list[Path]:
    return sorted((folder / split / label).glob("*.jpg"))


def contact_sheet(folder: Path) -> Path:
    """A look at the sample, FOLDER/contact-sheet.png: up to two rows of pictures for each split and label."""
    across, images = 12, []
    for split in SPLITS:
        for label in LABELS:
            row = [cv2.imread(str(path)) for path in _pictures(folder, split, label)[: 2 * across]]
            images += row + [np.full_like(row[0], 255)] * (-len(row) % across)
    with whole(folder / "contact-sheet.png") as part:
        cv2.imwrite(str(part), overlay.contact_sheet(images, across, side=120))
    return folder / "contact-sheet.png"
