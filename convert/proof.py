"""The pictures that prove a variant, and what the unquantized model says of each.

Where only the head learned from pictures, and was solved, all pictures count: each is answered by a head that was
solved without it (and the others of its fold), on the features of the float backbone and on those of the variant. What
is compared so is the way the model is made; that the finished file is what came out of it is held to the pictures that
were held out. Where more than that learned from the training pictures, those alone count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from convert.features import graph_engine
from convert.given import Given
from convert.graph import Graph
from convert.head import linear
from edge.model.contract import ModelSpec
from edge.model.head import Head, softmax
from train.dataset import Picture
from train.features import Features, extract, keras_engine
from train.heads import folds, heads_of_folds
from train.measure import predict
from train.model import parts, read_head, split_at_features
from train.rundir import Run
from train.space import Candidate

OUT_OF_FOLD = "out of fold"
_FEW = 16  # pictures that show whether a graph gives the features of the reference
_SAME = 3e-5  # of the largest, by how much they may differ: another order of sums makes 2e-6, half precision 6e-4


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
class Folds:
    """How all pictures are answered out of fold.

    Attributes:
        fold: of each picture, int (pictures,).
        heads: of the float features, one a fold, solved without it.
        candidate: how they were solved.
        balance: each label counted the same.
        temperature: what logits are divided by.
        final: the head of the finished model, solved on all pictures that it may see.
    """

    fold: np.ndarray
    heads: list[Head]
    candidate: Candidate
    balance: bool
    temperature: float
    final: Head

    def scores(self, features: np.ndarray, heads: Sequence[Head]) -> np.ndarray:
        """Of features (pictures, features), each by the head of its fold: (pictures, labels)."""
        logits = np.empty((len(features), len(heads[0].bias)))
        for number, head in enumerate(heads):
            own = self.fold == number
            logits[own] = head.logits(features[own])
        return softmax(logits / self.temperature)


@dataclass(frozen=True)
class Proof:
    """What a variant is proved on.

    Attributes:
        held_out: pictures that the model never learned from; the finished file answers them in the device's runtime.
        every: all pictures, out of fold; None where more than the head learned from the training pictures.
        folds: how.
        features: of all pictures, by the unquantized backbone.
        why: why no others than those held out count, as a sentence; empty if all do.
        spec: how a picture becomes a tensor.
    """

    held_out: Sample
    spec: ModelSpec
    every: Sample | None = None
    folds: Folds | None = None
    features: Features | None = None
    why: str = ""
    splits: dict[str, int] = field(default_factory=dict)

    @property
    def sample(self) -> Sample:
        """The pictures that a verdict comes from, where the variant has learned nothing more."""
        return self.every or self.held_out

    def out_of_fold(self, graph: bytes, own: Candidate | None) -> tuple[Sample, np.ndarray, np.ndarray, Features]:
        """What a finished file's own features make of all pictures, and of those held out by its own head.

        Args:
            own: how the head of the file was solved on its own features; None if it has that of the float ones.

        Returns:
            The sample, scores (pictures, labels) out of fold, the labels that its own head gives to what is held
            out, int (pictures,), and its features of all pictures.

        Raises:
            ValueError: if no features can be told in the graph.
        """
        assert self.every
        assert self.folds
        found = self._features(graph)
        features = found[:]
        heads, labels = self.folds.heads, len(self.every.labels)
        if own:
            heads = heads_of_folds(features, self.every.truth, labels, self.folds.fold, own, self.folds.balance)
        final = finished_head(Graph(graph)) if own else self.folds.final
        last = final.logits(features[-len(self.held_out.pictures) :])
        return self.every, self.folds.scores(features, heads), last.argmax(axis=1), found

    def _features(self, graph: bytes) -> Features:
        """What a graph makes of all pictures: those of the reference, if a few held out show that they are the same."""
        assert self.every
        assert self.features
        engine, pictures = graph_engine(graph, self.spec), self.every.pictures
        few = np.concatenate([rows for _, rows in engine.compute(list(pictures[-_FEW:]))])
        known = self.features[slice(-_FEW, None)]
        if few.shape == known.shape and np.abs(few - known).max() <= _SAME * np.abs(known).max():
            return self.features
        return extract(engine, pictures)

    def answer(self, graph: bytes, pictures: Sequence[Picture]) -> np.ndarray:
        """Scores (pictures, labels) that a graph's features give to some of all pictures, out of fold."""
        assert self.every
        assert self.folds
        fold = {picture.digest: number for picture, number in zip(self.every.pictures, self.folds.fold, strict=True)}
        rows = np.concatenate([values for _, values in graph_engine(graph, self.spec).compute(list(pictures))])
        some = replace(self.folds, fold=np.array([fold[picture.digest] for picture in pictures]))
        return some.scores(rows, some.heads)

    def as_json(self) -> dict[str, Any]:
        sample = self.sample
        return {"pictures": len(sample.pictures), "how": sample.how, "why": self.why, "splits": self.splits}

    def __str__(self) -> str:
        return f"{len(self.sample.pictures)} pictures ({self.sample.how}). {self.why}".strip()


def proof_of(given: Given, run: Run) -> Proof:
    """What can prove the variants of a run.

    Args:
        given: its classifier.
    """
    held_out, labels = [*run.validation, *run.test], run.spec.labels
    how = "validation and test" if run.test else "validation"
    if why := only_held_out(run):
        splits = {"validation": len(run.validation), "test": len(run.test)}
        return Proof(
            Sample(held_out, labels, predict(given.answer, run.spec, held_out), how), run.spec, why=why, splits=splits
        )
    pictures, model = [*run.train, *held_out], given.model
    extractor, head = split_at_features(model)
    found = extract(keras_engine(extractor, run.spec, parts(model)), pictures)
    features = found[:]
    said = head.predict(features[len(run.train) :], batch_size=256, verbose=0)
    reference = np.hstack([1 - said, said]) if said.shape[1] == 1 else said
    solved, truth = run.metrics["head"], np.array([picture.label for picture in pictures])
    candidate, balance = Candidate(solved["kind"], solved["strength"]), bool(solved.get("balance"))
    fold = folds(pictures)
    heads = heads_of_folds(features, truth, len(labels), fold, candidate, balance)
    every = Folds(fold, heads, candidate, balance, float(run.metrics["calibration"]["temperature"]), read_head(model))
    return Proof(
        Sample(held_out, labels, reference, how),
        run.spec,
        Sample(pictures, labels, every.scores(features, heads), OUT_OF_FOLD),
        every,
        found,
        splits={"train": len(run.train), "validation": len(run.validation), "test": len(run.test)},
    )


def only_held_out(run: Run) -> str:
    """Why training pictures prove nothing about a run; empty if they do."""
    if not run.metrics:
        return "The model was trained elsewhere: pictures count that are held out here, as if it had not seen them."
    if run.metrics.get("unfrozen"):
        return "The backbone was trained too, so only pictures count that were held out."
    if run.metrics.get("head", {}).get("kind") not in ("lda", "logistic"):
        return "The head was fitted in epochs, so only pictures count that were held out."
    return ""


def finished_head(graph: Graph) -> Head:
    """The linear head that a graph ends in.

    Raises:
        ValueError: if it ends in none whose weights can be read.
    """
    dense = linear(graph)
    if not dense:
        raise ValueError("expected a linear head, found another one in the graph")
    kernels, biases = [], []
    for operator in dense:
        kernel, *bias = (tensor for tensor in operator.inputs[1:3] if tensor >= 0)  # a bias of zeros is left out
        kernels.append(_real(graph, kernel).T)
        biases.append(_real(graph, *bias) if bias else np.zeros(kernels[-1].shape[1]))
    return Head(np.concatenate(kernels), np.sum(biases, axis=0))


def _real(graph: Graph, tensor: int) -> np.ndarray:
    values = graph.constant(tensor)
    assert values is not None  # the weights of a linear head are there
    return graph.real(tensor, values)
