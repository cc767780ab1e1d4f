"""Results as text on standard output: JSON lines, or lines for people."""

import json
import os
import sys
from pathlib import Path

from edge.sinks.base import Ended, Moment, Sink, as_json, iso_time
from edge.text import one_line


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
        unknown = f"{result.label} ({result.why}): " if result.why else ""
        name = one_line(f"{Path(moment.frame.source).name} #{moment.frame.index}")
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
