"""Where FrostLite keeps what can be had again, how much of it, and how two processes share it."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.errors import UserError
from edge.files import cache_folder
from train.progress import say

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["cache_folder", "locked", "trim"]

LIMIT = 20.0  # GB of features, where FROSTLITE_CACHE_LIMIT names no other
_RECENT = 3600.0  # seconds in which another command may still be at work on a folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock file `path`. The system takes the lock from a process that dies.

    Where there are no locks (Windows, some network disks) this waits for nobody.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        if fcntl:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def trim(key: str) -> None:
    """Say how large the cache of features is, and delete those that were not used for longest while it is too large.

    Args:
        key: names the folder that is in use now, which stays.

    Raises:
        UserError: if FROSTLITE_CACHE_LIMIT is no number from 0 up.
    """
    text = os.environ.get("FROSTLITE_CACHE_LIMIT", str(LIMIT))
    try:
        limit = float(text)
        if not limit >= 0:
            raise ValueError
    except ValueError:
        raise UserError(f"FROSTLITE_CACHE_LIMIT: expected a number of GB from 0 up, found {text!r}") from None
    root = cache_folder() / "features"
    (root / key / "lock").touch()  # its time is that of the last use
    used = sorted(((path / "lock").stat().st_mtime, path) for path in root.iterdir() if (path / "lock").exists())
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for _, path in used}
    for last, path in used:
        if sum(sizes.values()) > limit * 1e9 and path.name != key and time.time() - last > _RECENT:
            shutil.rmtree(path, ignore_errors=True)
            say(f"cache: deleted features that were not used since {time.strftime('%Y-%m-%d', time.localtime(last))}")
            del sizes[path]
    say(f"cache: {sum(sizes.values()) / 1e9:.2f} GB of features, at most {limit:g} GB, in {root}")
