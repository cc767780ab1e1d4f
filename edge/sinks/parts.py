"""How much of what grows for ever is kept: files in parts, NAME-<time>.csv, of which the oldest are deleted."""

import argparse
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge.files import unused

_SHARE = 8  # parts that the whole is made of
_UNITS = {"MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class Keep:
    """What is kept of a file: the last so many seconds, or so many bytes, in about eight parts."""

    seconds: float = float("inf")
    size: float = float("inf")

    def is_full(self, opened: float, size: int) -> bool:
        """Whether a part that was begun at a time (`time.time()`) and has so many bytes should end."""
        return time.time() - opened > self.seconds / _SHARE or size > self.size / _SHARE

    def file_away(self, part: Path, path: Path) -> None:
        """Give a finished part its name beside `path`, and delete what is too old or too much."""
        when = datetime.fromtimestamp(part.stat().st_mtime)
        part.rename(unused(path.with_name(f"{path.stem}-{when:%Y%m%d-%H%M%S}{path.suffix}")))
        pattern = re.compile(re.escape(path.stem) + r"-\d{8}-\d{6}(-\d+)?" + re.escape(path.suffix))
        parts = [other for other in path.parent.iterdir() if pattern.fullmatch(other.name)]
        room = self.size * (1 - 1 / _SHARE)  # the rest is for the part that is being written
        for other in sorted(parts, key=lambda other: other.stat().st_mtime, reverse=True):
            status = other.stat()
            room -= status.st_size
            if room < 0 or time.time() - status.st_mtime > self.seconds:
                with suppress(OSError):
                    other.unlink()


def parse_keep(text: str) -> Keep:
    """`--keep`: "30d", "500MB" or "2GB".

    Raises:
        argparse.ArgumentTypeError: for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(d|MB|GB)", text)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"expected days or a size as 30d, 500MB or 2GB, found {text!r}")
    number = float(found[1])
    return Keep(seconds=number * 86400) if found[2] == "d" else Keep(size=number * _UNITS[found[2]])
