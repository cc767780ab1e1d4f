"""Data sets that have a name instead of a folder."""

from collections.abc import Callable
from pathlib import Path

from train.cache import cache_folder


def _sample() -> Path:
    from train.sample import write_sample

    return write_sample(cache_folder() / "sample")


def _horses_or_humans() -> Path:
    from train.download import fetch

    return fetch("horses-or-humans")


NAMED: dict[str, Callable[[], Path]] = {
    "sample": _sample,  # drawn here, needs no network
    "horses-or-humans": _horses_or_humans,  # downloaded once
}


def data_folder(text: str) -> Path:
    """The folder that `--data` means: one that exists, else the data set of that name, made or fetched if need be."""
    if text in NAMED and not Path(text).is_dir():
        return NAMED[text]()
    return Path(text)
