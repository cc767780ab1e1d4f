"""What the three command lines share: numbers that are checked, errors of one line, clean ends."""

import argparse
import io
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from edge.text import one_line


def run_command(main: Callable[[], int | None]) -> None:
    """Run a command and end the process: 0 or what `main` returns; 130 after Ctrl-C.

    2 after one line for bad input, and for what the system refuses.
    """
    from edge.errors import UserError

    _speak_utf8()
    try:
        code = main() or 0
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of a pipe went away, as `| head` does
        _drop_output()
        code = 0
    except OSError as error:  # a full disk, no permission, a file where a folder should be
        where = "" if error.filename is None else f": {error.filename}"
        print(one_line(f"error: {error.strerror or error}{where}"), file=sys.stderr)
        code = 2
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output()
    sys.exit(code)


def _speak_utf8() -> None:
    """File names, files and both outputs in UTF-8 whatever the locale says; bytes that are none come out as escapes.

    Later Pythons do so by themselves (PEP 686).
    """
    if os.name == "posix" and not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what a caller from Python put in its place
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _drop_output() -> None:
    """Let what waits for standard output go nowhere: Python would try to write it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Parser(argparse.ArgumentParser):
    """One whose errors are one line, without what addresses hold; --help has the usage."""

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"(?<=://)[^\s'\"]+", "…", message)
        self.exit(2, f"error: {one_line(message)}; see {self.prog} --help\n")


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
