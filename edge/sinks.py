"""Where results go: any number of sinks at once, one table. What a sink costs, its own thread pays (edge.queued)."""

import csv
import importlib
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.classifier import Classifier, Result
from edge.errors import UserError
from edge.files import SPARE, nearly_full
from edge.smoothing import Event
from edge.sources import Frame, Source


@dataclass(frozen=True)
class Moment:
    """One frame with all that is known of it.

    Attributes:
        frame: as the model saw it: turned, mirrored and cut.
        result: smoothed, if smoothing is on.
        stable: the label that stands, which changes only with an event.
        event: the change that came with this frame, if any.
        fps: frames per second over the last moments.
        dropped: frames that the source has dropped so far.
        lost: moments that sinks have not taken so far.
        time: seconds since 1970.
    """

    frame: Frame
    result: Result
    stable: str
    event: Event | None
    fps: float
    dropped: int
    lost: int
    time: float


class Ended(Exception):
    """Raised by a sink through which the user ended the run: a window that was closed, a pipe whose reader went."""


class Sink:
    """Takes each frame with its result. To add one: a subclass, and a line in `SINKS`.

    Attributes:
        events_only: whether it only wants the moments that carry an event.
        pictures: whether it looks at the picture of a frame; one that waits for a sink that does not is left empty.
        depth: how many moments may wait for it.
        lost: moments that it did not take.
    """

    events_only = False
    pictures = False
    depth = 64
    lost = 0

    def write(self, moment: Moment) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        """Called about once a second while a live source has no frame. Only for sinks that are not queued."""

    def close(self) -> None:
        pass


def as_json(frame_index: int, source: str, result: Result) -> dict[str, Any]:
    """One result as the object that `--json` prints."""
    return {
        "source": source,
        "frame": frame_index,
        "label": result.label,
        "score": round(result.score, 4),
        "top": [[label, round(score, 4)] for label, score in result.top],
        "ms": {stage: round(value, 2) for stage, value in result.ms.items()},
    }


def as_event(moment: Moment) -> dict[str, Any]:
    """One event as the object that a broker, a web hook and a command get."""
    assert moment.event is not None
    return {
        "time": iso_time(moment.time),
        "source": moment.frame.source,
        "frame": moment.frame.index,
        "label": moment.event.label,
        "previous": moment.event.previous,
        "score": round(moment.event.score, 4),
    }


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as 2026-01-31T23:59:59.999+00:00."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


class JsonLines(Sink):
    """One JSON object a frame on standard output."""

    def write(self, moment: Moment) -> None:
        value = as_json(moment.frame.index, moment.frame.source, moment.result)
        value |= {"time": iso_time(moment.time), "stable": moment.stable, "event": moment.event is not None}
        say(json.dumps(value, ensure_ascii=False) + "\n")


class Terminal(Sink):
    """One line a frame: rewritten in place on a terminal, else a line each."""

    def write(self, moment: Moment) -> None:
        result = moment.result
        scores = "  ".join(f"{label} {score:.1%}" for label, score in result.top)
        stages = ", ".join(f"{stage} {value:.1f}" for stage, value in result.ms.items())
        unknown = "" if result.label == result.top[0][0] else f"{result.label}: "
        name = f"{Path(moment.frame.source).name} #{moment.frame.index}"
        line = f"{name}: {unknown}{scores}  ({moment.fps:.1f} frames/s; ms: {stages})"
        if sys.stdout.isatty():
            say(f"\r\x1b[K{line[: os.get_terminal_size().columns - 1]}")
        else:
            say(line + "\n")

    def close(self) -> None:
        if sys.stdout.isatty():
            say("\n")


def say(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:  # the reader went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Ended from error


class CsvFile(Sink):
    """One row a frame, appended. A row that does not fit on the disk leaves no half of itself behind.

    While the disk is nearly full there are no rows: others need the rest more.
    """

    EVERY = 64  # rows between two looks at the disk
    COLUMNS = ("time", "source", "frame", "label", "score", "stable", "event", "milliseconds")

    def __init__(self, path: Path) -> None:
        self.path, self._rows = path, 0
        try:
            self._file = path.open("ab", buffering=0)
            if self._file.tell() == 0:
                self._append(self.COLUMNS)
            elif _torn(path):
                self._file.write(b"\n")
        except OSError as error:
            raise UserError(f"--csv: {path}: expected a file to write, found: {error.strerror}") from error

    def _append(self, row: tuple[Any, ...]) -> None:
        text: list[str] = []
        csv.writer(_Lines(text)).writerow(row)
        data = "".join(text).encode()
        before = os.fstat(self._file.fileno()).st_size
        if self._file.write(data) != len(data):
            self._file.truncate(before)
            raise OSError("no space left for a row")

    def write(self, moment: Moment) -> None:
        if self._rows % self.EVERY == 0 and self.path.is_file() and nearly_full(self.path):
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


@dataclass(frozen=True)
class Kind:
    """One row of `SINKS`: what `--help` says of it, and what opens it from the options."""

    metavar: str | None  # None: a flag without a value
    help: str
    open: Callable[[Namespace, Classifier, Source], Sink]
    direct: bool = False  # cheap or bound to the main thread: called by the loop itself, without a queue


def _later(place: str) -> Callable[[Namespace, Classifier, Source], Sink]:
    """An opener that imports its module only when it is used, so that no run pays for sinks it does not have."""

    def opener(options: Namespace, classifier: Classifier, source: Source) -> Sink:
        module, _, name = place.partition(".")
        return getattr(importlib.import_module(f"edge.{module}"), name)(options, classifier, source)

    return opener


SINKS: dict[str, Kind] = {
    "csv": Kind("FILE", "append one row a frame", lambda options, classifier, source: CsvFile(Path(options.csv))),
    "record": Kind("FILE", "write an annotated video (.mp4 or .avi)", _later("video.open_recorder")),
    "sheet": Kind("FILE", "write a picture of annotated frames side by side", _later("video.open_sheet")),
    "window": Kind(None, "show the annotated frames; q ends", _later("video.open_window"), direct=True),
    "preview": Kind("[HOST:]PORT", "serve a page, and /metrics", _later("preview.open_preview"), direct=True),
    "mqtt": Kind("URL", "publish events: mqtt://[user:pass@]host[:port][/topic]", _later("mqtt.open_mqtt")),
    "webhook": Kind("URL", "POST each event as JSON", _later("hooks.open_webhook")),
    "exec": Kind("COMMAND", "run a command for each event, as JSON on its input", _later("hooks.open_command")),
    "save-uncertain": Kind("DIR", "keep frames that the model is not sure of", _later("collect.open_uncertain")),
}  # fmt: skip
