"""What people see while they wait: one look for all progress bars, and lines of text."""

import sys
from typing import Any

from tqdm import tqdm

from train.workers import workers


def progress(description: str, total: int, unit: str = " pictures", **more: Any) -> Any:
    """A bar to iterate with (`iterable=`) or to `update()`; use it as a context manager.

    It shows on a terminal only, and only for what takes longer than a moment.
    """
    hidden = None if workers().first else True  # None: unless it is a terminal
    return tqdm(total=total, desc=description, unit=unit, leave=False, delay=1, disable=hidden, **more)


def say(text: str) -> None:
    """Print a line at once: warnings and what was skipped to standard error, all else to standard output.

    Of several workers the first one speaks for all.
    """
    if not workers().first:
        return
    print(text, file=sys.stderr if text.startswith(("warning", "skipped")) else sys.stdout, flush=True)
