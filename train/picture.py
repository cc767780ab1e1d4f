"""One picture of a data set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.model.contract import ModelSpec
from edge.pictures import read_picture


@dataclass(frozen=True, slots=True)  # there may be a million
class Picture:
    """A readable picture file.

    Attributes:
        path: where it is.
        label: the index of its label.
        digest: the SHA-256 of its bytes, hexadecimal.
        group: pictures of one group (a burst, a subject) stay on one side of every split; "" is one of its own.
    """

    path: Path
    label: int
    digest: str
    group: str = ""

    def frame(self, spec: ModelSpec) -> np.ndarray:
        """The picture, BGR uint8 (height, width, 3), in a size of its own or in that of `spec`."""
        return read_picture(self.path)
