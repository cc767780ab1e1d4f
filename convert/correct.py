"""Bias correction: takes the mean error that rounded weights make of a layer's output out of its bias again.

Rounding moves each weight a little, and the inputs of a layer are not zero on average: so each output channel moves by
a constant, the sum over its weights of (rounding error times mean input). Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction" (2019), section 4.2, with means that calibration pictures showed.
"""

from collections.abc import Mapping

import numpy as np

from convert.calibrate import Seen
from convert.graph import WEIGHTED, Graph


def correct(quantized: Graph, float_: Graph, seen: Mapping[str, Seen], offset: float = 0.0) -> int:
    """Correct the biases of the layers with 8-bit weights in place; how many layers that were.

    Args:
        quantized: made of `float_`: its layers give tensors of the same names.
        seen: of the tensors of `float_`: the mean by channel, of those that a layer with weights takes.
        offset: by how much the input of the quantized graph lies too high.
    """
    originals = {float_.name(operator.outputs[0]): operator for operator in float_.operators}
    count = 0
    for operator in quantized.operators:
        kind = quantized.kind(operator)
        original = originals.get(quantized.name(operator.outputs[0]))
        if original is None or kind not in WEIGHTED or len(operator.inputs) < 3 or operator.inputs[2] < 0:
            continue
        kernel = quantized.weights(operator)
        stored, bias = quantized.constant(kernel), quantized.constant(operator.inputs[2])
        weights, means = float_.constant(original.inputs[1]), seen[float_.name(original.inputs[0])].mean
        if stored is None or stored.dtype != np.int8 or bias is None or weights is None:
            continue
        assert means is not None
        scale, _ = quantized.quantization(kernel)
        axis = 3 if kind == "DEPTHWISE_CONV_2D" else 0
        rounded = stored * scale.reshape([-1 if i == axis else 1 for i in range(stored.ndim)])
        moved = means + offset if original.inputs[0] in float_.part.inputs else means
        shift = _outputs(kind, weights, means) - _outputs(kind, rounded, moved)
        levels, _ = quantized.quantization(operator.inputs[2])
        if len(levels):
            limits = np.iinfo(bias.dtype)
            with np.errstate(divide="ignore", invalid="ignore"):
                steps = np.where(levels > 0, np.rint(shift / levels), 0)
            corrected = np.clip(bias + steps, limits.min, limits.max)
        else:
            corrected = bias + shift
        quantized.set_constant(operator.inputs[2], corrected.astype(bias.dtype))
        count += 1
    return count


def _outputs(kind: str, weights: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The mean output by channel of a layer without its bias, for mean inputs (channels,); borders are passed over."""
    if kind == "DEPTHWISE_CONV_2D":
        return weights.sum(axis=(0, 1, 2)) * np.repeat(means, weights.shape[3] // len(means))
    return (weights * means).reshape(len(weights), -1).sum(axis=1)
