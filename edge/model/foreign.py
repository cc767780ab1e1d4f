"""Other people's models: a contract for a `.tflite` file that carries none.

What its standard TFLite Metadata says is taken; what they do not say must be given (`--labels --mean --std`); what
only custom says is told in one line on standard error.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from edge.errors import UserError
from edge.model.contract import ModelFile, ModelSpec
from edge.model.flatbuffer import Table

# Numbers of schema.fbs (tensorflow/lite) and metadata_schema.fbs (tflite-support).
_TYPES = {0: "float32", 3: "uint8", 9: "int8"}
_SOFTMAX, _LOGISTIC, _DEQUANTIZE, _QUANTIZE = 25, 14, 6, 114
_NORMALIZATION = 1  # ProcessUnitOptions
_AXIS_LABELS = 2  # AssociatedFileType

T = TypeVar("T")


@dataclass(frozen=True)
class Graph:
    """What is read from a graph without running it."""

    input_shape: tuple[int, ...]
    input_type: str
    scale: float
    zero_point: int
    outputs: int
    activation: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    label_files: tuple[str, ...]


def adopt(
    file: ModelFile,
    *,
    labels: str | Path | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    resize: str | None = None,
) -> ModelFile:
    """A model without a contract, with one.

    Args:
        file: as `edge.model.contract.read_model` gives it.
        labels: a file with one label a line, with or without leading numbers.
        mean, std: one number or three in RGB order, in pixel units: the float input is (pixel - mean) / std.
        resize: "stretch", "crop" or "pad"; None for "stretch".

    Raises:
        UserError: if something is neither known nor given, or the file contradicts itself.
    """
    try:
        graph = read_graph(file.graph)
    except ValueError as error:
        raise UserError(f"{file.path}: damaged: {error}") from error
    shape = graph.input_shape
    if len(shape) != 4 or shape[3] != 3 or graph.input_type not in _TYPES.values():
        raise UserError(f"{file.path}: expected an input (1, height, width, 3), found {shape} {graph.input_type}")
    if graph.activation == _LOGISTIC and graph.outputs > 1:
        raise UserError(
            f"{file.path}: {graph.outputs} sigmoids at the end, each of which answers for itself (several labels may "
            "hold at once): expected a softmax, or one sigmoid for two labels"
        )
    if graph.activation == _SOFTMAX and graph.outputs == 1:
        raise UserError(f"{file.path}: a softmax over one output says 1 of every picture: expected two outputs or more")
    expected = 2 if graph.outputs == 1 else graph.outputs  # one sigmoid: of the second label, against the first
    notes = []
    if labels is not None:
        try:
            text = Path(labels).read_bytes()
        except OSError as error:
            raise UserError(f"--labels: {labels}: expected a file, found: {error.strerror}") from error
    else:
        names = [name for name in graph.label_files if name in file.files]
        names = names or [name for name in file.files if name.endswith(".txt")]
        if len(names) != 1:
            raise UserError(f"{file.path}: it does not say its labels: give --labels FILE with {expected} lines")
        text = file.files[names[0]]
    lines = clean_labels(text.decode("utf-8-sig", "replace"))
    if len(lines) + 1 == graph.outputs > 1:
        lines = ["background", *lines]
        notes.append("one output more than labels: the first is taken for the background")
    if len(lines) != expected:
        meaning = "for its one output: first the negative, then the positive" if graph.outputs == 1 else "one an output"
        raise UserError(f"{file.path}: expected {expected} labels, {meaning}, found {len(lines)}")
    if graph.outputs == 1:
        notes.append(f"one output: its score is that of {lines[1]}, the rest to 1 that of {lines[0]}")
    mean, std = tuple(mean) or graph.mean, tuple(std) or graph.std
    if not (mean and std) and graph.input_type != "float32":
        scale = graph.scale or 1.0
        shift = graph.zero_point + (128 if graph.input_type == "int8" else 0)
        mean, std = (float(shift),), (1 / scale,)
        notes.append(f"{graph.input_type} input without normalization: pixels go in as they are")
    if not (mean and std):
        raise UserError(
            f"{file.path}: it does not say its normalization: give --mean and --std in pixel units "
            "(127.5 127.5 for -1 to 1, 0 255 for 0 to 1)"
        )
    if graph.activation not in (_SOFTMAX, _LOGISTIC):
        notes.append("no softmax at the end: the outputs are taken for logits")
    if resize is None:
        notes.append("frames are stretched to the input; --resize crop or pad if it was trained so")
    try:
        spec = ModelSpec(
            labels=tuple(lines),
            size=(shape[1], shape[2]),
            resize=resize or "stretch",
            mean=_three(mean),
            std=_three(std),
            output="probabilities" if graph.activation in (_SOFTMAX, _LOGISTIC) else "logits",
            provenance={"origin": "not made by FrostLite"},
        )
    except ValueError as error:
        raise UserError(f"{file.path}: {error}") from error
    for note in notes:
        print(f"note: {file.path}: {note}", file=sys.stderr)
    return replace(file, spec=spec)


def _three(given: Sequence[float]) -> tuple[float, float, float]:
    values = list(given) * 3 if len(given) == 1 else list(given)
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise ValueError(f"mean and std: expected one number or three, found {values}")
    return values[0], values[1], values[2]


def clean_labels(text: str) -> list[str]:
    """The labels of a file: without empty lines and leading numbers, each different from the others.

    Numbers are taken off only if they count the lines, as in "0 cat", "1: dog"; "3 apples" stays what it is.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)[\s:,]+(.+)", line) for line in lines]
    for first in (0, 1):
        if lines and all(match and int(match[1]) == place for place, match in enumerate(numbered, first)):
            lines = [match[2].strip() for match in numbered if match]
            break
    often = Counter(lines)
    return [f"{line} ({place})" if often[line] > 1 else line for place, line in enumerate(lines)]


def read_graph(data: bytes) -> Graph:
    """Read what `Graph` holds from the flatbuffer of a model.

    Raises:
        ValueError: if the bytes do not hold it.
    """
    model = Table.root(data)
    subgraph = _only(model.tables(2), "subgraph", at_least=True)
    tensors, inputs, outputs = subgraph.tables(0), subgraph.numbers(1, "i"), subgraph.numbers(2, "i")
    source, target = _only(inputs, "input"), _only(outputs, "output")
    taken, given = _pick(tensors, source), _pick(tensors, target)
    kind = taken.integer(1, "<b")
    quantization = taken.table(4)
    scales: tuple = quantization.numbers(2, "f") if quantization else ()
    zero_points: tuple = quantization.numbers(3, "q") if quantization else ()
    shape = given.numbers(0, "i")
    mean, std, label_files = _metadata(model)
    return Graph(
        input_shape=taken.numbers(0, "i"),
        input_type=_TYPES.get(kind, f"type {kind}"),
        scale=float(scales[0]) if len(scales) == 1 else 0.0,
        zero_point=int(zero_points[0]) if len(zero_points) == 1 else 0,
        outputs=shape[-1] if shape else 0,
        activation=_last_operator(model, subgraph, target),
        mean=mean,
        std=std,
        label_files=label_files,
    )


def _only(values: Sequence[T], what: str, at_least: bool = False) -> T:
    if len(values) != 1 and not (at_least and values):
        raise ValueError(f"expected one {what}, found {len(values)}")
    return values[0]


def _pick(values: Sequence[T], place: int) -> T:
    if not 0 <= place < len(values):
        raise ValueError(f"there is no number {place} among {len(values)}")
    return values[place]


def _last_operator(model: Table, subgraph: Table, tensor: int) -> int | None:
    """The builtin code of the operator that gives a tensor, before a change of its number format."""
    codes = model.tables(1)
    for operator in reversed(subgraph.tables(3)):
        if tensor in operator.numbers(2, "i"):
            code = _pick(codes, operator.integer(0, "<I"))
            number = max(code.integer(0, "<b"), code.integer(3, "<i"))
            if number not in (_DEQUANTIZE, _QUANTIZE):
                return number
            tensor = _pick(operator.numbers(1, "i"), 0)
    return None


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
