"""Files that are written whole or not at all, and where those go that can be had again."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPARE = 64 << 20  # bytes that whatever is written for long leaves free on the disk


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path`; what was written there takes its place when the block ends well.

    The temporary file is in the same folder, so that `os.replace` is atomic, and keeps the suffix, so that
    writers that choose a format by it still do. After an exception nothing is left behind and `path` is as
    it was. Missing folders are made. The content is on the disk before the name is, so that a power cut leaves the old
    file or the new one.

        with whole("run/labels.txt") as part:
            part.write_text("horses")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        sync(part)
        part.chmod(0o666 & ~_umask())  # mkstemp gives 0600; others should read results as any other file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def unused(path: Path) -> Path:
    """`path`, or if something has that name, the first of path-2, path-3 and so on that nothing has."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def nearly_full(path: Path) -> bool:
    """Whether less than `SPARE` is free on the disk of a file or folder."""
    return shutil.disk_usage(path).free < SPARE


def cache_folder() -> Path:
    """FROSTLITE_CACHE, or `frostlite` in the user's cache folder (XDG says to ignore a relative one)."""
    if own := os.environ.get("FROSTLITE_CACHE"):
        return Path(own).expanduser()
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "frostlite"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
