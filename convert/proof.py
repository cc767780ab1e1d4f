"""The pictures that prove a variant, and what the unquantized model says of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from train.dataset import Picture
from train.keras import keras
from train.measure import predict
from train.rundir import Run


@dataclass(frozen=True)
class Sample:
    """Pictures with known labels, and the answers of the reference.

    Attributes:
        pictures: in the order of all arrays.
        labels: the names of the labels.
        reference: scores, float (pictures, labels).
        how: "out of fold" (each answered by heads that never saw it), else the split that was held out.
    """

    pictures: Sequence[Picture]
    labels: tuple[str, ...]
    reference: np.ndarray
    how: str

    @property
    def truth(self) -> np.ndarray:
        """The right labels, int (pictures,)."""
        return np.array([picture.label for picture in self.pictures])


@dataclass(frozen=True)
class Proof:
    """What a variant is proved on.

    Attributes:
        held_out: pictures that the model never learned from; the finished file answers them in the device's runtime.
        why: why no others count, as a sentence; empty if all do.
    """

    held_out: Sample
    why: str = ""

    @property
    def sample(self) -> Sample:
        """The pictures that the verdict comes from."""
        return self.held_out

    def as_json(self) -> dict[str, Any]:
        return {"pictures": len(self.sample.pictures), "how": self.sample.how, "why": self.why}

    def __str__(self) -> str:
        return f"{len(self.sample.pictures)} pictures ({self.sample.how})"


def proof_of(model: keras.Model, run: Run) -> Proof:
    """What can prove the variants of a run.

    Args:
        model: its classifier, one output per label.
    """
    pictures = [*run.validation, *run.test]
    how = "validation and test" if run.test else "validation"
    return Proof(Sample(pictures, run.spec.labels, predict(model, run.spec, pictures), how))
