"""Where FrostLite keeps what can be had again, and how two processes share it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.files import cache_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["cache_folder", "locked"]


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
