"""Results as rows of a CSV file."""

import csv
import os
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from edge.errors import UserError
from edge.files import SPARE, nearly_full
from edge.model.classifier import Classifier
from edge.sinks.base import Moment, Sink, iso_time
from edge.sinks.parts import Keep
from edge.sources.base import Source


def open_csv(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return CsvFile(Path(options.csv), options.keep)


class CsvFile(Sink):
    """One row a frame, appended. A row that does not fit on the disk leaves no half of itself behind.

    While the disk is nearly full there are no rows: others need the rest more. With `keep` it is a file in parts.
    """

    EVERY = 64  # rows between two looks at the disk
    COLUMNS = ("time", "source", "frame", "label", "score", "stable", "event", "milliseconds")

    def __init__(self, path: Path, keep: Keep | None = None) -> None:
        self.path, self.keep, self._rows = path, keep, 0
        try:
            if keep and path.is_file() and path.stat().st_size:
                keep.file_away(path, path)
            self._open()
        except OSError as error:
            raise UserError(f"--csv: {path}: expected a file to write, found: {error.strerror}") from error

    def _open(self) -> None:
        self._file, self._opened = self.path.open("ab", buffering=0), time.time()
        if self._file.tell() == 0:
            self._append(self.COLUMNS)
        elif _torn(self.path):
            self._file.write(b"\n")

    def _append(self, row: tuple[Any, ...]) -> None:
        text: list[str] = []
        csv.writer(_Lines(text)).writerow(row)
        data = "".join(text).encode(errors="backslashreplace")
        before = os.fstat(self._file.fileno()).st_size
        if self._file.write(data) != len(data):
            self._file.truncate(before)
            raise OSError("no space left for a row")

    def write(self, moment: Moment) -> None:
        look = self._rows % self.EVERY == 0 and self.path.is_file()
        if look and self.keep and self.keep.is_full(self._opened, self._file.tell()):
            self._file.close()
            self.keep.file_away(self.path, self.path)
            self._open()
        if look and nearly_full(self.path):
            raise OSError(f"{self.path}: no rows while less than {SPARE >> 20} MB are free: the disk is nearly full")
        self._rows += 1
        result = moment.result
        event = moment.event.label if moment.event else ""
        self._append(
            (
                iso_time(moment.time), moment.frame.source, moment.frame.index, result.label, f"{result.score:.4f}",
                moment.stable, event, f"{result.ms['total']:.2f}",
            )
        )  # fmt: skip

    def close(self) -> None:
        self._file.close()


def _torn(path: Path) -> bool:
    """Whether a file that is not empty ends within a line, as after a power cut."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


class _Lines:
    """What `csv.writer` takes for a file."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append
