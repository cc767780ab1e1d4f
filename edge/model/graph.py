"""What a `.tflite` graph says of itself, read from its flatbuffer without running it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge.model.flatbuffer import Table

# Numbers of schema.fbs (tensorflow/lite) and metadata_schema.fbs (tflite-support).
_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16", 9: "int8"}
_OPERATIONS = {
    3: "linear", 9: "linear", 14: "sigmoid", 19: "relu", 20: "relu", 21: "relu6", 25: "softmax", 28: "tanh",
    50: "log_softmax", 56: "argmax", 79: "argmin",
}  # fmt: skip
_FUSED = {1: "relu", 2: "relu", 3: "relu6", 4: "tanh"}  # ActivationFunctionType
_FUSING = {0: 0, 3: 3, 9: 0}  # add, convolution, fully connected: the field of their options with the activation
# Values stay as they are in these: dequantize, reshape, squeeze, cast, expand_dims, quantize.
_SHAPING = (6, 22, 43, 53, 70, 114)
_NORMALIZATION = 1  # ProcessUnitOptions
_AXIS_LABELS = 2  # AssociatedFileType

T = TypeVar("T")


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph; `fixed` if no side of it is left open."""

    shape: tuple[int, ...]
    type: str
    scale: float
    zero_point: int
    fixed: bool

    def __str__(self) -> str:
        return f"{self.shape} {self.type}"


@dataclass(frozen=True)
class Graph:
    """What is read from a graph without running it: `operation` gives the first output (see `edge.model.judge`)."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operation: str
    custom: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    label_files: tuple[str, ...]

    @property
    def scores(self) -> int:
        """How many scores it gives."""
        return math.prod(self.outputs[0].shape) if self.outputs else 0


def read_graph(data: bytes) -> Graph:
    """Read what `Graph` holds from the flatbuffer of a model.

    Raises:
        ValueError: if the bytes do not hold it.
    """
    model = Table.root(data)
    subgraph = _only(model.tables(2), "subgraph", at_least=True)
    tensors, inputs, outputs = subgraph.tables(0), subgraph.numbers(1, "i"), subgraph.numbers(2, "i")
    mean, std, label_files = _metadata(model)
    return Graph(
        inputs=tuple(_tensor(_pick(tensors, number)) for number in inputs),
        outputs=tuple(_tensor(_pick(tensors, number)) for number in outputs),
        operation=_last_operation(model, subgraph, outputs[0]) if outputs else "",
        custom=tuple(filter(None, (code.string(1) for code in model.tables(1)))),
        mean=mean,
        std=std,
        label_files=label_files,
    )


def _tensor(table: Table) -> Tensor:
    kind, quantization = table.integer(1, "<b"), table.table(4)
    scales: tuple = quantization.numbers(2, "f") if quantization else ()
    zero_points: tuple = quantization.numbers(3, "q") if quantization else ()
    shape, signature = table.numbers(0, "i"), table.numbers(7, "i")
    return Tensor(
        shape=shape,
        type=_TYPES.get(kind, f"type {kind}"),
        scale=float(scales[0]) if len(scales) == 1 else 0.0,
        zero_point=int(zero_points[0]) if len(zero_points) == 1 else 0,
        fixed=min((signature or shape)[1:], default=1) > 0,
    )


def _only(values: Sequence[T], what: str, at_least: bool = False) -> T:
    if len(values) != 1 and not (at_least and values):
        raise ValueError(f"expected one {what}, found {len(values)}")
    return values[0]


def _pick(values: Sequence[T], place: int) -> T:
    if not 0 <= place < len(values):
        raise ValueError(f"there is no number {place} among {len(values)}")
    return values[place]


def _last_operation(model: Table, subgraph: Table, tensor: int) -> str:
    """The operation that gives a tensor, before changes of its shape and number format; "" without a name here."""
    codes = model.tables(1)
    for operator in reversed(subgraph.tables(3)):
        if tensor in operator.numbers(2, "i"):
            code = _pick(codes, operator.integer(0, "<I"))
            number = max(code.integer(0, "<b"), code.integer(3, "<i"))
            if number in _SHAPING:
                tensor = _pick(operator.numbers(1, "i"), 0)
                continue
            options = operator.table(4) if number in _FUSING else None
            fused = options.integer(_FUSING[number], "<b") if options else 0
            return _FUSED.get(fused, _OPERATIONS.get(number, ""))
    return ""


def _metadata(model: Table) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    """Mean, std and the names of label files from the standard metadata; empty where they say nothing."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    names: list[str] = []
    for entry in model.tables(6):
        if entry.string(0) != "TFLITE_METADATA":
            continue
        root = Table.root(_pick(model.tables(4), entry.integer(1, "<I")).raw(0))
        for subgraph in root.tables(3)[:1]:
            for tensor in subgraph.tables(2)[:1]:
                for unit in tensor.tables(4):
                    options = unit.table(1)
                    if unit.integer(0, "<B") == _NORMALIZATION and options is not None:
                        mean, std = options.numbers(0, "f"), options.numbers(1, "f")
            for tensor in subgraph.tables(3)[:1]:
                names += [each.string(0) for each in tensor.tables(6) if each.integer(2, "<b") == _AXIS_LABELS]
    return mean, std, tuple(names[:1])  # further files are translations of the first
