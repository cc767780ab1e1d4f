"""A head that was taught on a device goes into the graph, so that every program has its labels.

The operators from the features on are left out, and a Dense layer for each depth, their sum and a softmax take their
place, in float: the scores are those that the device gives.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.export import package
from convert.graph import Graph, schema
from edge.errors import UserError
from edge.files import whole
from edge.model.classifier import Classifier
from edge.model.contract import BANK_FILE, KEPT_FILE, read_model
from edge.model.head import Head

_LOOKS, _FAR = 16, 5e-3  # frames of noise that both files are asked of, and by how much a score may differ


def fold(path: Path) -> Path:
    """Write a file beside a taught one, with the head in its graph; its path.

    Raises:
        UserError: if the file was not taught, or the two do not give the same scores.
    """
    file = read_model(path)
    if file.spec is None or not file.spec.head:
        raise UserError(
            f"{path}: expected a .tflite file of python -m edge teach, found one whose head is in its graph: "
            "to quantize a float one, give --data PHOTOS"
        )
    with Classifier(file, threads=1) as classifier:
        assert classifier.head is not None
        graph = with_taught(file.graph, file.spec.features, classifier.head, classifier.widths())
    kept = {name: file.files[name] for name in (BANK_FILE, KEPT_FILE) if name in file.files}
    out = path.with_name(f"{path.stem}-folded.tflite")
    with whole(out) as part:
        part.write_bytes(package(graph, replace(file.spec, head=""), kept))
        far = _difference(path, part)
        if far > _FAR:
            raise UserError(f"{path}: expected the same scores of the folded file, found a difference of {far:.4f}")
    return out


def with_taught(data: bytes, features: tuple[str, ...], head: Head, widths: list[int]) -> bytes:
    """The graph up to its features, and behind them a linear head with a softmax.

    Args:
        features: names of the tensors with the features of each depth, (1, features).
        widths: how many each has.
    """
    graph = Graph(data)
    numbers = {graph.name(number): number for number in range(len(graph.tensors))}
    graph = Graph(graph.up_to([numbers[name] for name in features]))
    count, logits = head.kernel.shape[1], -1
    for depth, (tensor, rows) in enumerate(
        zip(list(graph.part.outputs), np.split(head.kernel, np.cumsum(widths)[:-1]), strict=True), 1
    ):
        if graph.dtype(tensor) != np.float32:
            real = graph.add_tensor(f"features_{depth}/real", [1, len(rows)], np.float32)
            graph.add_operator("DEQUANTIZE", [tensor], [real], 2, schema.DequantizeOptionsT())
            tensor = real
        kernel = graph.add_tensor(f"taught_{depth}/kernel", rows.T.shape, np.float32, values=rows.T)
        bias = head.bias if depth == len(widths) else np.zeros(count)
        inputs = [tensor, kernel, graph.add_tensor(f"taught_{depth}/bias", [count], np.float32, values=bias)]
        logits = _operator(graph, "FULLY_CONNECTED", inputs, f"taught_{depth}", count, logits)
    options: Any = schema.SoftmaxOptionsT()
    options.beta = 1.0
    scores = graph.add_tensor("scores", [1, count], np.float32)
    graph.add_operator("SOFTMAX", [logits], [scores], options=options)
    graph.part.outputs = [scores]
    return graph.pack()


def _operator(graph: Graph, kind: str, inputs: list[int], name: str, count: int, before: int) -> int:
    """A Dense layer, and its sum with the logits `before`, if there are any; the tensor with it."""
    own = graph.add_tensor(name, [1, count], np.float32)
    graph.add_operator(kind, inputs, [own], options=schema.FullyConnectedOptionsT())
    if before < 0:
        return own
    total = graph.add_tensor(f"{name}/sum", [1, count], np.float32)
    graph.add_operator("ADD", [before, own], [total], options=schema.AddOptionsT())
    return total


def _difference(first: Path, second: Path) -> float:
    """The largest one between the scores of two files for frames of noise of several strengths."""
    random = np.random.default_rng(0)
    found = 0.0
    with Classifier(first) as one, Classifier(second) as other:
        for _ in range(_LOOKS):
            small = random.integers(0, 256, (random.integers(2, 64), random.integers(2, 64), 3), np.uint8)
            found = max(found, float(np.abs(one.scores(small) - other.scores(small)).max()))
    return found
