"""A `.tflite` graph as objects: read, look at, run any tensor of it, and write."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import islice
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from edge.quiet import quiet

DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.BOOL: np.bool_,
    schema.TensorType.FLOAT64: np.float64,
}
_TYPES = {np.dtype(dtype): number for number, dtype in DTYPES.items()}
# Kinds of operators whose second input is their weights, and whose third is their bias.
WEIGHTED = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
_BATCH = 32  # inputs in memory at once
_SHARED = 1 << 16  # bytes of a vector; larger ones are weights, of which no two are equal
KINDS = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}


class Graph:
    """The first subgraph of a model, and the tables that it refers to.

    Attributes:
        model: the objects of the schema, as `flatbuffer_utils` reads them; they may be changed.
        tensors, operators: those of the subgraph.
    """

    def __init__(self, data: bytes) -> None:
        self.model: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
        self.part = self.model.subgraphs[0]
        self.tensors, self.operators = self.part.tensors, self.part.operators

    def pack(self) -> bytes:
        return _packed(self.model)

    def name_apart(self) -> None:
        """Give each tensor a name of its own, where another has it already: ranges and layers are known by name."""
        seen: set[bytes] = set()
        for number, tensor in enumerate(self.tensors):
            tensor.name = tensor.name or b"tensor"
            if tensor.name in seen:
                tensor.name += f"/{number}".encode()
            seen.add(tensor.name)

    def kind(self, operator: Any) -> str:
        """Its name in the schema: CONV_2D, ADD, …"""
        return KINDS[
            flatbuffer_utils.get_builtin_code_from_operator_code(self.model.operatorCodes[operator.opcodeIndex])
        ]

    def dtype(self, tensor: int) -> type | None:
        """That of a tensor; None for one that numpy does not have."""
        return DTYPES.get(self.tensors[tensor].type)

    def name(self, tensor: int) -> str:
        return self.tensors[tensor].name.decode()

    def constant(self, tensor: int) -> np.ndarray | None:
        """The values of a constant, a copy, in the shape and dtype of the tensor; None for what is computed."""
        found = self.tensors[tensor]
        data = self.model.buffers[found.buffer].data
        if data is None or not len(data):
            return None
        return np.frombuffer(bytes(data), DTYPES[found.type]).reshape(found.shape).copy()

    def set_constant(self, tensor: int, values: np.ndarray) -> None:
        """Give a constant other values of the same shape and dtype; other tensors that share its buffer keep theirs."""
        found = self.tensors[tensor]
        if found.buffer == 0 or sum(other.buffer == found.buffer for other in self.tensors) > 1:
            found.buffer = len(self.model.buffers)
            self.model.buffers.append(schema.BufferT())
        self.model.buffers[found.buffer].data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)

    def weights(self, operator: Any) -> int:
        """The tensor that holds the weights of a layer as they are stored: 8-bit ones may be made float before it."""
        taken = operator.inputs[1]
        made = next((op for op in self.operators if taken in op.outputs and self.kind(op) == "DEQUANTIZE"), None)
        return taken if made is None else made.inputs[0]

    def variables(self, tensors: Iterable[int]) -> list[int]:
        """Those of the tensors that are computed or given, not constant."""
        return [tensor for tensor in tensors if tensor >= 0 and self.constant(tensor) is None]

    def quantization(self, tensor: int) -> tuple[np.ndarray, int]:
        """Scales, float32 (channels,) or (1,), and the zero point; an empty array if the tensor is not quantized."""
        found = self.tensors[tensor].quantization
        if found is None or found.scale is None or not len(found.scale):
            return np.empty(0, np.float32), 0
        return np.asarray(found.scale, np.float32), int(found.zeroPoint[0])

    def real(self, tensor: int, values: np.ndarray) -> np.ndarray:
        """Values of a tensor that is quantized as a whole, as float32 real numbers; those of others as they are."""
        scale, zero_point = self.quantization(tensor)
        return (values.astype(np.float32) - zero_point) * scale[0] if len(scale) else values

    def add_tensor(
        self, name: str, shape: Sequence[int], dtype: type, scale: float = 0.0, zero_point: int = 0, values: Any = None
    ) -> int:
        """A new tensor, constant if there are values; its number."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(shape), _TYPES[np.dtype(dtype)]
        if scale:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
        self.tensors.append(tensor)
        if values is not None:
            self.set_constant(len(self.tensors) - 1, np.asarray(values, dtype))
        return len(self.tensors) - 1

    def add_operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        version: int = 1,
        options: Any = None,
        first: bool = False,
    ) -> None:
        """A new operator at the end, or at the front.

        Args:
            version: that of its kind; the oldest that knows its types keeps the file readable for old runtimes.
            options: an object of the schema, such as `schema.AddOptionsT`.
        """
        code = schema.OperatorCodeT()
        number = getattr(schema.BuiltinOperator, kind)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.model.operatorCodes.append(code)
        self.operators.insert(0 if first else len(self.operators), operator)

    def up_to(self, outputs: Sequence[int]) -> bytes:
        """A model of the operators that lead to some tensors, which it gives."""
        needed, wanted = [], set(outputs)
        for operator in reversed(self.operators):
            if wanted & set(operator.outputs):
                needed.append(operator)
                wanted |= set(operator.inputs)
        return self.cut(needed[::-1], self.part.inputs, outputs)

    def cut(self, operators: Sequence[Any], inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """A model of these operators alone."""
        used = sorted({t for op in operators for t in [*op.inputs, *op.outputs] if t >= 0} | {*inputs, *outputs})
        place = {tensor: number for number, tensor in enumerate(used)} | {-1: -1}
        model, part = copy(self.model), copy(self.part)
        model.buffers, part.tensors, part.operators = [schema.BufferT()], [], []
        model.metadata = model.metadataBuffer = model.signatureDefs = None
        for tensor in used:
            moved = copy(self.tensors[tensor])
            buffer = self.model.buffers[moved.buffer]
            moved.buffer = 0
            if buffer.data is not None and len(buffer.data):
                moved.buffer = len(model.buffers)
                model.buffers.append(buffer)
            part.tensors.append(moved)
        for operator in operators:
            moved = copy(operator)
            moved.inputs, moved.outputs = ([place[t] for t in side] for side in (operator.inputs, operator.outputs))
            part.operators.append(moved)
        part.inputs, part.outputs = ([place[t] for t in side] for side in (inputs, outputs))
        model.subgraphs = [part]
        return _packed(model)


class _Sharing(flatbuffers.Builder):
    """Writes equal vectors once. Of an int8 graph a tenth of the bytes are vectors of zeros: zero points by channel."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.known: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        if x.nbytes > _SHARED:
            return super().CreateNumpyVector(x)
        key = x.dtype.str, x.tobytes()
        if key not in self.known:
            self.known[key] = super().CreateNumpyVector(x)
        return self.known[key]


def _packed(model: Any) -> bytes:
    for buffer in model.buffers:
        if buffer.data is not None:  # what is no array would be written byte by byte: two seconds instead of none
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    for tensor in model.subgraphs[0].tensors:
        if (found := tensor.quantization) is not None and found.zeroPoint is not None:
            found.zeroPoint, found.scale = np.asarray(found.zeroPoint, np.int64), np.asarray(found.scale, np.float32)
    builder = _Sharing()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def run(
    data: bytes,
    inputs: Iterable[Sequence[np.ndarray]],
    see: Callable[[list[np.ndarray]], Any] = lambda outputs: outputs,
) -> Iterator[Any]:
    """Run a graph in LiteRT on all cores, an interpreter each: what `see` makes of each list of outputs, in order.

    Args:
        data: a flatbuffer.
        inputs: for each run, an array for every input of the graph, in its dtype.
        see: takes the outputs of one run; they are copies. It runs in the threads of the interpreters.
    """
    workers = os.cpu_count() or 1
    free = []
    for _ in range(workers):
        with quiet():
            interpreter = Interpreter(model_content=data, num_threads=1)
            interpreter.allocate_tensors()
        free.append(interpreter)
    places = [
        [detail["index"] for detail in details]
        for details in (free[0].get_input_details(), free[0].get_output_details())
    ]

    def one(arrays: Sequence[np.ndarray]) -> Any:
        interpreter = free.pop()
        try:
            for place, array in zip(places[0], arrays, strict=True):
                interpreter.set_tensor(place, array)
            interpreter.invoke()
            return see([interpreter.get_tensor(place) for place in places[1]])
        finally:
            free.append(interpreter)

    remaining = iter(inputs)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, _BATCH)):
            yield from pool.map(one, batch)
