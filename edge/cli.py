"""What the three command lines share: numbers that are checked, errors of one line, clean ends."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn


def run_command(main: Callable[[], int | None]) -> None:
    """Run a command and end the process: 0 or what `main` returns; 2 after one line for bad input; 130 after Ctrl-C."""
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    """One whose errors are one line; --help has the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def number(kind: Callable[[str], float], low: float, high: float = float("inf")) -> Callable[[str], float]:
    """An argparse type: a number of `kind` from `low` to `high`, both included."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            limits = f"of at least {low}" if high == float("inf") else f"from {low} to {high}"
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {what} {limits}, found {text!r}")
        return value

    return parse
