"""A float `.tflite` file as what is converted, whoever made it: Teachable Machine, LiteRT Torch, onnx2tf, this tool.

Its graph is brought into the shape that all the rest expects: pixels with their channels last in, float32 weights, and
one probability for each label out.
"""

import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.given import Given, hold_to_contract
from convert.graph import Graph, schema
from convert.run import answer_of_graph
from edge.errors import UserError
from edge.model.contract import ModelFile, ModelSpec, read_model
from edge.model.foreign import contract_of
from edge.model.graph import read_graph
from train.rundir import Run

_FLOATS = schema.TensorType.FLOAT32, schema.TensorType.FLOAT16
_FLOAT_FILE = (
    "expected a float file, found one that is quantized already: give the float file that it was made of "
    "(float32.tflite of an export, model_unquant.tflite of Teachable Machine), or the Keras model"
)


def is_lite(path: Path) -> bool:
    """Whether a file is a `.tflite` model, or an archive with one and no Keras model."""
    if path.is_file() and zipfile.is_zipfile(path) and path.suffix.lower() != ".tflite":
        with zipfile.ZipFile(path) as archive:
            names = [name.lower() for name in archive.namelist()]
        return any(name.endswith(".tflite") for name in names) and not any(
            name.endswith((".h5", ".keras")) for name in names
        )
    return path.is_file() and path.suffix.lower() == ".tflite"


def spec_of_lite(path: Path) -> ModelSpec:
    """The contract of a float file: its own, or what its metadata say.

    Raises:
        UserError: if the file is not of this kind, or says too little.
    """
    file = _read(path)
    if file.spec:
        return file.spec
    try:
        spec, notes = contract_of(file)
    except UserError as error:
        told, given, _ = str(error).partition(": give ")
        raise UserError(f"{told}: give --spec FILE, with labels, size, mean and std" if given else told) from error
    for note in notes:
        print(f"note: {path}: {note}", file=sys.stderr)
    return spec


def load_lite(path: Path, run: Run) -> tuple[Given, ModelSpec]:
    """The graph of a float file, held to the contract of the run; and a contract that says what it gives now.

    Raises:
        UserError: if it does not fit.
    """
    graph, spec = Graph(_read(path).graph), run.spec
    (image,), (given,) = graph.part.inputs, graph.part.outputs
    shape, outputs, labels = tuple(graph.tensors[image].shape), int(np.prod(graph.tensors[given].shape)), spec.labels
    if shape != (1, *spec.size, 3):
        raise UserError(f"{path}: by its contract its input is {(1, *spec.size, 3)}, found {shape}")
    if outputs not in ((1, 2) if len(labels) == 2 else (len(labels),)):
        raise UserError(f"{path}: by its contract it gives one value for each of {len(labels)} labels, found {outputs}")
    raw = graph.pack()
    try:
        hold_to_contract(answer_of_graph(raw), read_graph(raw).operation, run)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if len(graph.tensors[given].shape) != 2:
        given = _add(graph, "RESHAPE", [given, _constant(graph, "row", [1, outputs], np.int32)], outputs)
    if spec.output == "logits":
        if spec.temperature != 1:
            given = _add(graph, "MUL", [given, _constant(graph, "factor", 1 / spec.temperature)], outputs)
        given = _add(graph, "SOFTMAX", [given if outputs > 1 else _beside_zero(graph, given)], len(labels))
    elif outputs == 1:
        given = _widened(graph, given)
    graph.part.outputs = [given]
    float_graph = graph.up_to([given])
    count = sum(v.size for each in range(len(graph.tensors)) if (v := graph.constant(each)) is not None)
    spec = replace(spec, output="probabilities", features=(), feature_map="", likeness=-1, usual=(), graph_sha256="")
    return Given(answer_of_graph(float_graph), count, graph=float_graph), spec


def _read(path: Path) -> ModelFile:
    """A float file, with its channels last, its weights in float32, and all else as it came."""
    file = read_model(path)
    if file.spec and file.spec.head:
        raise UserError(
            f"{path}: it was taught on a device: python -m convert {path} puts its head into the graph first"
        )
    try:
        graph = Graph(file.graph)
        scaled = [graph.tensors[each].type for each in range(len(graph.tensors)) if graph.quantization(each)[0].size]
        taken = [graph.dtype(each) for each in graph.part.inputs]
    except Exception as error:  # a damaged flatbuffer may fail in any way
        raise UserError(f"{path}: damaged: {type(error).__name__}: {error}") from error
    if set(scaled) - set(_FLOATS):
        raise UserError(f"{path}: {_FLOAT_FILE}")
    if len(graph.model.subgraphs) > 1:
        raise UserError(f"{path}: expected a graph without branches or loops, found {len(graph.model.subgraphs)} parts")
    if taken != [np.float32] or len(graph.part.outputs) != 1:
        names = ", ".join("another type" if each is None else np.dtype(each).name for each in taken)
        raise UserError(
            f"{path}: expected one float32 input, a picture, and one output, a score for each label; found "
            f"{len(taken)} inputs ({names}) and {len(graph.part.outputs)} outputs"
        )
    graph.model.signatureDefs = None
    _float32(graph)
    _channels_last(graph)
    return replace(file, graph=graph.pack())


def _float32(graph: Graph) -> None:
    """Weights that are stored in float16, and made float32 when a runtime loads, are float32 at once."""
    for operator in [each for each in graph.operators if graph.kind(each) == "DEQUANTIZE"]:
        half = graph.constant(operator.inputs[0])
        if half is not None and half.dtype == np.float16:
            graph.set_constant(operator.outputs[0], half.astype(np.float32))
            graph.operators.remove(operator)


def _channels_last(graph: Graph) -> None:
    (image,) = graph.part.inputs
    shape = list(graph.tensors[image].shape)
    if len(shape) == 4 and shape[1] == 3 != shape[3]:  # as PyTorch has it
        order = _constant(graph, "order", [0, 3, 1, 2], np.int32)
        pixels = graph.add_tensor("pixels", [shape[0], *shape[2:], 3], np.float32)
        graph.add_operator("TRANSPOSE", [pixels, order], [image], options=schema.TransposeOptionsT(), first=True)
        graph.part.inputs = [pixels]


def _widened(graph: Graph, one: int) -> int:
    """[1 - p, p] of p: the softmax of [0, z] where p is the sigmoid of z."""
    maker = next(operator for operator in graph.operators if one in operator.outputs)
    if graph.kind(maker) == "LOGISTIC" and len(graph.tensors[maker.inputs[0]].shape) == 2:
        return _add(graph, "SOFTMAX", [_beside_zero(graph, maker.inputs[0])], 2)
    rest = _add(graph, "SUB", [_constant(graph, "all", 1.0), one], 1)
    return _add(graph, "CONCATENATION", [rest, one], 2)


def _beside_zero(graph: Graph, logit: int) -> int:
    return _add(graph, "CONCATENATION", [_constant(graph, "zero", [[0.0]]), logit], 2)


def _constant(graph: Graph, name: str, values: Any, dtype: type = np.float32) -> int:
    return graph.add_tensor(f"frostlite/{name}", np.shape(values), dtype, values=values)


def _add(graph: Graph, kind: str, inputs: list[int], columns: int) -> int:
    """The output (1, columns) of a new operator."""
    options: Any = getattr(schema, {"CONCATENATION": "Concatenation"}.get(kind, kind.capitalize()) + "OptionsT")()
    if kind == "SOFTMAX":
        options.beta = 1.0
    if kind == "CONCATENATION":
        options.axis = 1
    made = graph.add_tensor(f"frostlite/{kind.lower()}", [1, columns], np.float32)
    graph.add_operator(kind, inputs, [made], options=options)
    return made
