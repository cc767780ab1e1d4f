"""Files that are written whole or not at all, and where those go that can be had again."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path`; what was written there takes its place when the block ends well.

    The temporary file is in the same folder, so that `os.replace` is atomic, and keeps the suffix, so that
    writers that choose a format by it still do. After an exception nothing is left behind and `path` is as
    it was. Missing folders are made.

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
        part.chmod(0o666 & ~_umask())  # mkstemp gives 0600; others should read results as any other file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
