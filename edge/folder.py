"""Which files below a folder are pictures, and what else lies there: one rule for training and the device."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.pictures import is_picture

# What file managers, clouds, archives and notebooks leave behind; nobody put pictures for training there.
_MACHINE_FOLDER = re.compile(
    r"\..*|__MACOSX|__pycache__|@eaDir|@tmp|@__thumb|@Recycle|@Recently-Snapshot|#recycle|#snapshot|\$RECYCLE\.BIN"
    r"|RECYCLER|System Volume Information|lost\+found",
    re.IGNORECASE,
)
_MACHINE_FILE = re.compile(r"\..*|(eh)?thumbs(_vista)?\.db|desktop\.ini|icon\r", re.IGNORECASE)


@dataclass
class Found:
    """What lies below a folder.

    Attributes:
        pictures: files that are pictures by suffix or content, sorted; whether they can be read is another question.
        folders: all folders that were looked into, sorted, the first one included.
        others: files of other kinds by suffix (lower case, "" without one).
        machine: names of folders that were passed over because a machine made them, with how often.
    """

    pictures: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    machine: Counter[str] = field(default_factory=Counter)

    def left_out(self) -> str:
        """What was left out, in words; "" if nothing was."""
        kinds = [f"{count} {suffix or 'without a suffix'}" for suffix, count in self.others.most_common()]
        return ", ".join([*kinds, *(f"folders {name}" for name in sorted(self.machine))])


def find_pictures(root: Path) -> Found:
    """Look through a folder and all below it, through links too; links that lead back up are not followed.

    Hidden files, and folders that machines make, are passed over.

    Raises:
        OSError: if a folder cannot be listed.
    """
    found = Found()
    for path in _files(root, found, ()):
        try:
            picture = is_picture(path)
        except OSError:
            picture = True  # what cannot be opened is named when it is read
        if picture:
            found.pictures.append(path)
        else:
            found.others[path.suffix.lower()] += 1
    found.pictures.sort()
    found.folders.sort()
    return found


def _files(folder: Path, found: Found, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    status = folder.stat()
    here = status.st_dev, status.st_ino
    if here in above:
        return
    found.folders.append(folder)
    with os.scandir(folder) as entries:
        inside = list(entries)
    for entry in inside:
        if entry.is_dir():
            if _MACHINE_FOLDER.fullmatch(entry.name):
                found.machine[entry.name] += 1
            else:
                yield from _files(Path(entry.path), found, (*above, here))
        elif not _MACHINE_FILE.fullmatch(entry.name):
            if entry.is_file() or entry.is_symlink():  # a link to nothing is named when it is read
                yield Path(entry.path)
            else:
                found.others["neither file nor folder"] += 1
