"""A head that is solved on what the quantized backbone gives.

Eight bits move the pooled features by a fifth of their length. A head that was fitted on float features loses by it;
one that is fitted on the features that the device will compute does not. So the graph is quantized, the features of
the pictures are computed with it in LiteRT, the head is solved on them by the rules of `train`, and the graph is
quantized again with that head at its end: the backbone stays the same to the last bit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.features import graph_engine
from convert.graph import Graph
from convert.head import linear
from edge.model.contract import ModelSpec
from edge.model.head import Head, softmax
from edge.model.likeness import PART, REFUSED
from train.augment import Augmentation, views
from train.dataset import Picture
from train.features import extract
from train.heads import folds, solve
from train.progress import say
from train.rundir import SPLIT, Run
from train.threshold import calibrate, in_contract


@dataclass(frozen=True)
class Solved:
    """What the head of a run was solved on, and how: the same holds for another backbone's features.

    Attributes:
        pictures: fitted on.
        validation: those that the user set apart; none where the split is our own, as then all were fitted on.
        kind: "lda" or "logistic".
        balance, seed: as `train` had them.
        views: how many views a picture, and of what kind.
        refuse: the share of right answers that may become "unknown".
        promise: the share of the given answers that may be wrong; 0 promises nothing.
    """

    pictures: Sequence[Picture]
    validation: Sequence[Picture]
    kind: str
    balance: bool
    seed: int
    views: int
    augmentation: Augmentation | None
    refuse: float = REFUSED
    promise: float = 0.0


def solved_of(run: Run) -> Solved | None:
    """That of a run of ours with a solved head on a frozen backbone; of any other, None."""
    head, drawn = run.metrics.get("head") or {}, run.metrics.get("augment") or {}
    if head.get("kind") not in ("lda", "logistic") or run.metrics.get("unfrozen"):
        return None
    own_split = json.loads((run.folder / SPLIT).read_bytes()).get("own_split", False)
    kinds = {name: value for name, value in drawn.items() if name != "views"}
    return Solved(
        [*run.train, *(run.validation if own_split else [])],
        [] if own_split else run.validation,
        head["kind"],
        head.get("balance", False),
        head.get("seed", 0),
        drawn.get("views", 0),
        Augmentation(**kinds) if kinds else None,
        run.metrics.get("refuse", REFUSED),
        run.metrics.get("promise", 0.0),
    )


def solve_again(
    float_graph: bytes, quantized: bytes, solved: Solved, spec: ModelSpec
) -> tuple[bytes, ModelSpec, dict[str, Any]]:
    """The float graph with the head that the quantized one wants, its contract, and JSON notes on the head.

    Args:
        float_graph: with a linear head; `quantized` was made of it.
    """
    source = graph_engine(quantized, spec)
    drawn = views(solved.pictures, solved.augmentation, range(solved.views)) if solved.augmentation else []
    found = extract(source, [*solved.pictures, *solved.validation, *drawn])
    count, all_of_them = len(solved.pictures), len(solved.pictures) + len(solved.validation)
    plain, seen = found[:all_of_them], found.rows[all_of_them:].reshape(count, -1)
    truth = np.array([picture.label for picture in [*solved.pictures, *solved.validation]])
    more = [np.asarray(found.matrix[rows], np.float32) for rows in seen.T]
    fold = folds(solved.pictures, solved.seed)
    solution = solve(plain[:count], truth[:count], len(spec.labels), fold, solved.kind, solved.balance, more)
    head = solution.head
    # As in `train`: out of fold, and those of a validation folder by the head itself.
    held_out = np.concatenate([solution.held_out, plain[count:] @ head.kernel + head.bias])
    refused = (1 - PART) * solved.refuse
    calibration = calibrate((softmax(held_out), truth), refused=refused, promised=solved.promise)
    if calibration.promise:
        say(f"int8: {calibration.promise}")
    head = Head(head.kernel / calibration.temperature, head.bias / calibration.temperature)
    notes = {
        "kind": solution.candidate.kind,
        "strength": solution.candidate.strength,
        "held_out_accuracy": float((held_out.argmax(axis=1) == truth).mean()),
    }
    return with_head(float_graph, head, plain[:count].mean(axis=0)), in_contract(spec, calibration), notes


def with_head(data: bytes, head: Head, centre: np.ndarray) -> bytes:
    """A float graph with another linear head: each depth gives small logits around zero, as `train.model` has it.

    Args:
        centre: the mean features, float (features,).
    """
    graph = Graph(data)
    dense = linear(graph)
    kernel = head.kernel - head.kernel.mean(axis=1, keepdims=True)
    rest, start = head.bias - head.bias.mean() + centre @ kernel, 0
    for layer in dense:
        stop = start + graph.tensors[layer.inputs[0]].shape[-1]
        own = -centre[start:stop] @ kernel[start:stop] + (rest if layer is dense[-1] else 0)
        graph.set_constant(layer.inputs[1], kernel[start:stop].T.astype(np.float32))
        if len(layer.inputs) < 3 or layer.inputs[2] < 0:  # the converter leaves out a bias of zeros
            bias = graph.add_tensor(f"{graph.name(layer.outputs[0])}/bias", [len(own)], np.float32, values=own)
            layer.inputs = [*layer.inputs[:2], bias]
        else:
            graph.set_constant(layer.inputs[2], own.astype(np.float32))
        start = stop
    return graph.pack()
