"""What the three command lines share: numbers that are checked, errors of one line, clean ends."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn


def run_command(main: Callable[[], int | None]) -> None:
    """Run a command and end the process: 0 or what `main` returns; 130 after Ctrl-C.

    2 after one line for bad input, and for what the system refuses.
    """
    from edge.errors import UserError

    try:
        code = main() or 0
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of a pipe went away, as `| head` does
        _drop_output()
        code = 0
    except OSError as error:  # a full disk, no permission, a file where a folder should be
        where = "" if error.filename is None else f": {error.filename}"
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        code = 2
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()
    sys.exit(code)


def _drop_output() -> None:
    """Let what waits for standard output go nowhere: Python would try to write it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Parser(argparse.ArgumentParser):
    """One whose errors are one line, without what addresses hold; --help has the usage."""

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"(?<=://)[^\s'\"]+", "…", message)
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def number(kind: Callable[[str], float], low: float, high: float = float("inf")) -> Callable[[str], float]:
    """An argparse type: a number of `kind` from `low` to `high`, both included; finite in any case."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high or value == float("inf"):
            limits = f"of at least {low}" if high == float("inf") else f"from {low} to {high}"
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {what} {limits}, found {text!r}")
        return value

    return parse
