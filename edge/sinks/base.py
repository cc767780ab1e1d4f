"""What a sink is, what it takes, and the objects that results and events become on their way out."""

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from edge.model.classifier import Result
from edge.smoothing import Event
from edge.sources.base import Frame, Signal


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
        score: of the label that stands, in this frame, which need not be the best one; None if that is "unknown".
    """

    frame: Frame
    result: Result
    stable: str
    event: Event | None
    fps: float
    dropped: int
    lost: int
    time: float
    score: float | None = None


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

    def tick(self, signal: Signal) -> None:
        """Called about once a second, with or without frames."""

    def close(self) -> None:
        pass


def as_json(frame_index: int, source: str, result: Result) -> dict[str, Any]:
    """One result as the object that `--json` prints; "why" is there for "unknown" alone."""
    known = {"why": result.why, "likeness": None if result.likeness is None else round(result.likeness, 4)}
    return {
        "source": source,
        "frame": frame_index,
        "label": result.label,
        "score": round(result.score, 4),
        "top": [[label, round(score, 4)] for label, score in result.top],
        **{name: value for name, value in known.items() if value not in ("", None)},
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
