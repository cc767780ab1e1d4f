"""One TFLite runtime behind one face: whichever is installed, built once, with its threads."""

import importlib
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.errors import UserError
from edge.model.outputs import add_outputs
from edge.model.preprocess import TensorType
from edge.quiet import quiet

# In order of preference: the maintained one, the one with 32-bit wheels, the one that comes with TensorFlow.
RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}


def load_runtime(name: str | None = None) -> tuple[str, Any]:
    """Import a runtime: the named one, or the first that is installed. Returns its name and its module.

    Raises:
        UserError: if it is not installed, or none is.
    """
    if name is not None and name not in RUNTIMES:
        raise UserError(f"runtime: expected one of {', '.join(RUNTIMES)}, found {name!r}")
    reasons = []
    for candidate in [name] if name else RUNTIMES:
        try:
            return candidate, importlib.import_module(RUNTIMES[candidate])
        except ImportError as error:
            reasons.append(f"{candidate} ({error})")
    raise UserError(f"no TFLite runtime could be loaded: {', '.join(reasons)}; try: pip install ai-edge-litert")


class Interpreter:
    """A model that was loaded into a runtime: one input, one output of (1, classes).

    Args:
        graph: the flatbuffer of a checked model.
        threads: how many the runtime may use; None for one per core. It counts only at construction.
        runtime: a name of `RUNTIMES`, or None for the first that is installed.
        more: names of tensors that are wanted too, see `read`.
    """

    def __init__(
        self, graph: bytes, threads: int | None = None, runtime: str | None = None, more: Sequence[str] = ()
    ) -> None:
        self.runtime, module = load_runtime(runtime)
        self.threads = threads or os.cpu_count() or 1
        try:
            with quiet():
                wanted = add_outputs(graph, more) if more else graph
                self._native = module.Interpreter(model_content=wanted, num_threads=self.threads)
                self._native.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{self.runtime} does not load this model: {reason}") from error
        inputs, outputs = self._native.get_input_details(), self._native.get_output_details()
        found = len(outputs) - len(more)
        if len(inputs) != 1 or found != 1:
            raise UserError(f"expected a model with one input and one output, found {len(inputs)} and {found}")
        self._input, self._output = inputs[0], outputs[0]
        self._more = dict(zip(more, outputs[1:], strict=True))
        self.input_shape = tuple(int(side) for side in self._input["shape"])
        shape = tuple(int(side) for side in self._output["shape"])
        flat = sum(side != 1 for side in shape) <= 1  # as (1, 1, 1, classes)
        self.output_shape = (1, math.prod(shape)) if flat else shape
        self.input = _tensor_type(self._input)
        self.output = _tensor_type(self._output)

    def invoke(self, tensor: np.ndarray) -> np.ndarray:
        """Run the model on a tensor of `input_shape` and the input's dtype; the output as float32, dequantized."""
        self._native.set_tensor(self._input["index"], tensor)
        self._native.invoke()
        return self._real(self._output).reshape(self.output_shape)

    def read(self, name: str) -> np.ndarray:
        """What the last run left in one of the tensors that were asked for, as float32, dequantized."""
        return self._real(self._more[name])

    def _real(self, details: dict[str, Any]) -> np.ndarray:
        values, tensor = self._native.get_tensor(details["index"]), _tensor_type(details)
        if not tensor.scale:
            return values.astype(np.float32, copy=False)
        real = values.astype(np.float32)
        real -= tensor.zero_point
        real *= np.float32(tensor.scale)
        return real


def _tensor_type(details: dict[str, Any]) -> TensorType:
    scale, zero_point = details["quantization"]
    return TensorType(np.dtype(details["dtype"]).name, float(scale), int(zero_point))
