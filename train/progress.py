"""What people see while they wait: one look for all progress bars, and lines of text."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from edge.text import one_line
from train.workers import workers

# Standard error as it was at the start: `edge.quiet` takes away the one that native code writes to.
_ERRORS = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")


def progress(description: str, total: int, unit: str = " pictures", **more: Any) -> Any:
    """A bar to iterate with (`iterable=`) or to `update()`; use it as a context manager.

    It shows on a terminal only, and only for what takes longer than a moment.
    """
    hidden = None if workers().first else True  # None: unless it is a terminal
    return tqdm(total=total, desc=description, unit=unit, leave=False, delay=1, disable=hidden, file=_ERRORS, **more)


@contextmanager
def waiting(description: str) -> Iterator[None]:
    """Show on a terminal, with the seconds, what is done in the block: for work that cannot tell how far it is."""
    form = "{desc}: {elapsed}"
    line = tqdm(desc=description, bar_format=form, leave=False, disable=None, file=_ERRORS)
    with line, _each_second(line.refresh):
        yield


@contextmanager
def counting(minutes: float, started: float) -> Iterator[Any]:
    """A bar of the minutes that a block may take, below the bars of what is done in it.

    Args:
        started: when they began, by `time.perf_counter`.
    """
    form = "{bar:20} {n:.1f} of {total:g} minutes  {desc}"
    with tqdm(total=minutes, bar_format=form, leave=False, disable=None, file=_ERRORS) as bar:

        def tick() -> None:
            bar.n = min(minutes, (time.perf_counter() - started) / 60)
            bar.refresh()

        with _each_second(tick):
            yield bar


@contextmanager
def _each_second(tick: Callable[[], Any]) -> Iterator[None]:
    done = threading.Event()

    def loop() -> None:
        while not done.wait(1):
            tick()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def say(text: str) -> None:
    """Print a line at once: warnings and what was skipped to standard error, all else to standard output.

    Of several workers the first one speaks for all.
    """
    if not workers().first:
        return
    with tqdm.external_write_mode(file=_ERRORS):  # what is shown there steps aside
        # Names of files may hold anything.
        print(one_line(text), file=sys.stderr if text.startswith(("warning", "skipped")) else sys.stdout, flush=True)
