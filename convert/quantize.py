"""From a float graph to a quantized one, by LiteRT's own quantizer.

The ranges of the activations are those of the calibration pictures (`convert.calibrate.observe`). The last layer with
weights, and what follows it, stays in float: 8 bits for the scores make ties of pictures that the model can tell apart.
"""

import re
import warnings
from collections.abc import Callable, Collection, Mapping

import numpy as np
from litert_quantizer.algorithm_manager import AlgorithmName
from litert_quantizer.qtyping import (
    ComputePrecision,
    OpQuantizationConfig,
    QuantGranularity,
    TensorDataType,
    TensorQuantizationConfig,
    TFLOperationName,
)
from litert_quantizer.quantizer import Quantizer

from convert.calibrate import Seen, input_levels
from convert.correct import correct
from convert.graph import Graph, schema
from convert.head import tail
from edge.model.contract import ModelSpec
from edge.quiet import quiet

_ALL, _DENSE = TFLOperationName.ALL_SUPPORTED, TFLOperationName.FULLY_CONNECTED
# One scale for each unit of a Dense layer would make it version 12 of its operator: tflite-runtime 2.14 does not know
# it, and reads it wrongly.
_WHOLE = QuantGranularity.TENSORWISE
_FLOAT_TAIL = 0.02  # of the bytes of a quantized graph: what its float layers at the end may take


def _float16(quantizer: Quantizer) -> None:
    half = TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT)
    config = OpQuantizationConfig(weight_tensor_config=half, compute_precision=ComputePrecision.FLOAT)
    for kind in (_DENSE, TFLOperationName.CONV_2D, TFLOperationName.DEPTHWISE_CONV_2D):
        quantizer.update_quantization_recipe(".*", kind, config, AlgorithmName.FLOAT_CASTING)


def _dynamic(quantizer: Quantizer) -> None:
    quantizer.add_dynamic_config(".*", _ALL, 8)
    quantizer.add_dynamic_config(".*", _DENSE, 8, _WHOLE)


def _weights(quantizer: Quantizer) -> None:
    quantizer.add_weight_only_config(".*", _ALL, 8)


def _static(bits: int) -> Callable[[Quantizer], None]:
    def configure(quantizer: Quantizer) -> None:
        quantizer.add_static_config(".*", _ALL, bits, 8)
        quantizer.add_static_config(".*", _DENSE, bits, 8, _WHOLE)

    return configure


RECIPES = {
    "float16": _float16,
    "dynamic": _dynamic,
    "weight-int8": _weights,
    "int8": _static(8),
    "int16x8": _static(16),
}
STATIC = "int8", "int16x8"


def quantize(
    data: bytes, recipe: str, spec: ModelSpec, seen: Mapping[str, Seen] | None = None, keep: Collection[str] = ()
) -> bytes:
    """A quantized graph.

    Args:
        data: a float graph, each of whose tensors has a name of its own.
        recipe: a key of `RECIPES`.
        spec: its contract.
        seen: what the calibration pictures showed: the ranges of static recipes, and means to correct biases by.
        keep: names of tensors; the operators that give them stay in float.
    """
    quantizer = Quantizer(bytearray(data))
    RECIPES[recipe](quantizer)
    graph = Graph(data)
    ranges: dict | None = None
    if recipe in STATIC:
        assert seen is not None
        last = tail(graph)
        names = [graph.name(operator.outputs[0]) for operator in last]
        stored = sum(values.nbytes for op in last for t in op.inputs if (values := graph.constant(t)) is not None)
        heavy = stored > _FLOAT_TAIL * len(data) / 4
        for name in {*names, *keep}:
            quantizer.update_quantization_recipe(_exactly(name), _ALL, algorithm_key=AlgorithmName.NO_QUANTIZE)
            if heavy and name in names:  # 8 bits for the weights alone: they are made float once, when a runtime loads
                quantizer.add_weight_only_config(_exactly(name), _DENSE, 8)
        low, high = ({name: getattr(each, end) for name, each in seen.items()} for end in ("low", "high"))
        image = graph.name(graph.part.inputs[0])
        if recipe == "int8":
            scale, zero_point, _ = input_levels(spec)
            low[image], high[image] = (0 - zero_point) * scale, (255 - zero_point) * scale
        else:  # readers of the standard metadata know no int16 pictures
            quantizer.update_quantization_recipe(".*", TFLOperationName.INPUT, algorithm_key=AlgorithmName.NO_QUANTIZE)
        ranges = {name: {"min": np.array([low[name]]), "max": np.array([high[name]])} for name in low}
    with quiet(), warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore")  # it looks at the float graph in a way that its runtime warns of
        result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    quantized = Graph(bytes(result.quantized_model))
    if seen is not None:
        correct(quantized, graph, seen, input_levels(spec)[2] if recipe == "int8" else 0.0)
    if recipe == "int8":
        take_uint8(quantized)
    return quantized.pack()


def take_uint8(graph: Graph) -> None:
    """Let an int8 graph take uint8 pixels; one whose first layer stayed in float keeps its float input."""
    (image,) = graph.part.inputs
    scale, zero_point = graph.quantization(image)
    if not len(scale):
        return
    tensor = graph.tensors[image]
    name, tensor.name = graph.name(image), tensor.name + b"_int8"
    pixels = graph.add_tensor(name, tensor.shape, np.uint8, float(scale[0]), zero_point + 128)
    graph.add_operator("QUANTIZE", [pixels], [image], options=schema.QuantizeOptionsT(), first=True)
    graph.part.inputs = [pixels]
    for signature in graph.model.signatureDefs or []:
        for taken in signature.inputs:
            taken.tensorIndex = pixels


def _exactly(name: str) -> str:
    return f"^{re.escape(name)};?$"  # the quantizer ends each name with a semicolon
