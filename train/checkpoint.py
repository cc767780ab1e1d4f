"""Where a fit stands, on disk: one file, whole or not there, that only the same command continues."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.files import whole

Arrays = dict[str, list[np.ndarray]]


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds lists of arrays by name, and JSON values.

    Attributes:
        fingerprint: of all that makes a fit what it is; a file of another one counts as none.
    """

    path: Path
    fingerprint: str

    def save(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """Replace the file."""
        head = json.dumps({"fingerprint": self.fingerprint, "values": values})
        flat = {f"{name}.{i}": array for name, group in arrays.items() for i, array in enumerate(group)}
        with whole(self.path) as part:
            np.savez(part, head=np.array(head), **flat)

    def load(self) -> tuple[Arrays, dict[str, Any]] | None:
        """What was saved, or None if there is no file, a damaged one, or that of another command."""
        try:
            with self.path.open("rb") as opened, np.load(opened) as file:  # NumPy leaves a damaged one open
                head = json.loads(str(file["head"]))
                if head["fingerprint"] != self.fingerprint:
                    return None
                arrays: Arrays = {}
                for key in file.files:
                    if key != "head":
                        arrays.setdefault(key.rpartition(".")[0], []).append(file[key])
                return arrays, head["values"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError):
            return None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
