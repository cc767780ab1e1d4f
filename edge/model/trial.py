"""Loads and runs the graph on standard input once: `python -m edge.model.trial [RUNTIME] < graph`. See `trust`."""

import contextlib
import sys

import numpy as np

from edge.cli import run_command
from edge.model.interpreter import Interpreter

_MEMORY = 4 << 30  # bytes of address space


def main() -> None:
    with contextlib.suppress(ImportError, ValueError, OverflowError, OSError):  # not every system has limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    interpreter = Interpreter(sys.stdin.buffer.read(), 1, *sys.argv[1:2])
    interpreter.invoke(np.zeros(interpreter.input_shape, interpreter.input.dtype))


if __name__ == "__main__":
    run_command(main)
