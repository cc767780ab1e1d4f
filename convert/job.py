"""What all schemes work on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from convert.calibrate import Seen, observe, samples
from convert.graph import Graph
from convert.int8_head import Solved
from edge.model.contract import ModelSpec
from train.augment import Augmentation
from train.dataset import Picture
from train.keras import converted, keras
from train.rundir import Run

# What a run without views of its own gets.
MIRROR = Augmentation(rotation=0, shift=0, shear=0, zoom=0, flip=0.5, light=0, colour=0, blur=0)


@dataclass(frozen=True)
class Job:
    """A model to be quantized, and the pictures that may have a say in it.

    Attributes:
        model: a finished classifier with one output per label; None where there is a graph alone.
        spec: its contract.
        train: the training pictures: for training-time schemes, and to check a choice on.
        calibration: those of them (or frames of the real camera) that show the range of every activation.
        tolerance: the drop that is allowed, in percentage points.
        augmentation: that of the run, for training-time schemes.
        solved: how its head was solved, if it was.
        answer: scores (pictures, labels) that the features of a graph give to training pictures by heads that never saw
            them; None where there are no such heads.
        lite: the float graph, where there is no model.
    """

    model: keras.Model | None
    spec: ModelSpec
    train: Sequence[Picture]
    calibration: Sequence[Picture]
    tolerance: float
    augmentation: Augmentation = MIRROR
    solved: Solved | None = None
    answer: Callable[[bytes, Sequence[Picture]], np.ndarray] | None = None
    lite: bytes = b""

    @cached_property
    def graph(self) -> bytes:
        """The float graph, each of whose tensors has a name of its own."""
        graph = Graph(self.lite or converted(self.model))
        graph.name_apart()
        return graph.pack()

    @cached_property
    def seen(self) -> dict[str, Seen]:
        """What the calibration pictures showed of its tensors."""
        return observe(Graph(self.graph), (tensor for (tensor,) in self.samples()))

    def samples(self) -> Iterator[list[np.ndarray]]:
        return samples(self.calibration, self.spec)


def augmentation_of(run: Run) -> Augmentation:
    """That of the run's views, as its metrics tell it."""
    told = run.metrics.get("augment") or {}
    values = {name: value for name, value in told.items() if name != "views"}
    return Augmentation(**values) if values else MIRROR
