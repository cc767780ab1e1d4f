"""One look for all progress bars: on a terminal only, and only for what takes longer than a moment."""

from typing import Any

from tqdm import tqdm


def progress(description: str, total: int, unit: str = " pictures", **more: Any) -> Any:
    """A bar to iterate with (`iterable=`) or to `update()`; use it as a context manager."""
    return tqdm(total=total, desc=description, unit=unit, leave=False, delay=1, disable=None, **more)
