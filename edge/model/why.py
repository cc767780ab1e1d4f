"""Why a label: which places of a picture speak for it, and which for the next best one.

A head that is linear on pooled maps can be moved before the pooling: the mean over the places of a map, times a kernel,
is the mean of what the kernel gives at each place (class activation maps: Zhou et al., "Learning deep features for
discriminative localization", 2016). So the maps that are shown here are no estimate: their mean over all places, of all
depths together, is the difference of the two labels' logits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.model.contract import ModelSpec
from edge.model.flatbuffer import Table

# Numbers of schema.fbs (tensorflow/lite).
_TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 9: np.int8}
_ADD, _POOL, _CONV, _DEQUANTIZE, _DENSE, _SIGMOID, _RESHAPE, _SOFTMAX, _MEAN, _SQUEEZE, _QUANTIZE = (
    0, 1, 3, 6, 9, 14, 22, 25, 40, 43, 114,
)  # fmt: skip
_ENDS = {_SOFTMAX, _SIGMOID, _ADD}
_AS_THEY_ARE = {_DEQUANTIZE, _QUANTIZE, _RESHAPE, _SQUEEZE}
_COLD, _WARM, _STRENGTH = (230, 110, 20), (20, 70, 240), 0.7  # BGR; the largest share of a colour


@dataclass(frozen=True)
class Depth:
    """A linear head on one depth: the name of the map (1, height, width, channels) that it pools, and its weights.

    Attributes:
        place: the name of the tensor with the map.
        kernel: float32 (channels, outputs).
        bias: float32 (outputs,).
    """

    place: str
    kernel: np.ndarray
    bias: np.ndarray


class _Operators:
    """The operators of a graph by what they give."""

    def __init__(self, graph: bytes) -> None:
        model = Table.root(graph)
        self.codes = [max(code.integer(0, "<b"), code.integer(3, "<i")) for code in model.tables(1)]
        self.buffers, self.part = model.tables(4), model.tables(2)[0]
        self.tensors = self.part.tables(0)
        self.makers = {made: operator for operator in self.part.tables(3) for made in operator.numbers(2, "i")}

    def kind(self, tensor: int) -> int:
        return self.codes[self.makers[tensor].integer(0, "<I")] if tensor in self.makers else -1

    def inputs(self, tensor: int) -> tuple[int, ...]:
        return self.makers[tensor].numbers(1, "i") if tensor in self.makers else ()

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.tensors[tensor].numbers(0, "i")

    def constant(self, tensor: int) -> np.ndarray:
        """The real values of weights, also of those that the graph itself makes real."""
        if self.kind(tensor) == _DEQUANTIZE:
            tensor = self.inputs(tensor)[0]
        table, shape = self.tensors[tensor], self.shape(tensor)
        kind = _TYPES.get(table.integer(1, "<b"))
        data = self.buffers[table.integer(2, "<I")].raw(0)
        if kind is None or not data:
            raise ValueError("weights of the head are not in the graph")
        values = np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(shape).astype(np.float32)
        quantization = table.table(4)
        scales = np.array(quantization.numbers(2, "f") if quantization else (), np.float32)
        if not len(scales):
            return values
        zeros = np.array(quantization.numbers(3, "q") if quantization else (0,), np.float32)
        wide = (-1, *[1] * (len(shape) - 1))
        return (values - zeros.reshape(wide)) * scales.reshape(wide)


def find_depths(graph: bytes, labels: int) -> tuple[Depth, ...]:
    """The linear heads, one a depth, whose sum is the logits of a graph.

    Args:
        labels: how many there are; a graph may have one output for two.

    Raises:
        ValueError: if scores come out of the maps in another way, or there is one label.
    """
    if labels < 2:
        raise ValueError("it has one label, and nothing to compare it with")
    found: list[Depth] = []
    waiting: list[int] = []
    try:
        operators = _Operators(graph)
        waiting += operators.part.numbers(2, "i")[:1]
        while waiting:
            tensor = waiting.pop()
            kind, inputs = operators.kind(tensor), operators.inputs(tensor)
            if kind in _ENDS:
                waiting += inputs
            elif kind in _AS_THEY_ARE:
                waiting += inputs[:1]
            elif kind in (_DENSE, _CONV):
                found.append(_depth(operators, tensor, labels))
            else:
                raise ValueError("it does not end in a linear head on pooled maps")
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"its graph cannot be followed: {error}") from error
    return tuple(found)


def explains(graph: bytes, labels: int) -> bool:
    """Whether `find_depths` finds any."""
    try:
        return bool(find_depths(graph, labels))
    except ValueError:
        return False


def best_two(scores: np.ndarray) -> tuple[int, int]:
    """The places of the best label and of the next best one among scores, float (labels,), two or more."""
    second, first = np.argsort(scores, kind="stable")[-2:]
    return int(first), int(second)


def _depth(operators: _Operators, tensor: int, labels: int) -> Depth:
    inputs, options = operators.inputs(tensor), operators.makers[tensor].table(4)
    conv = operators.kind(tensor) == _CONV
    kernel = operators.constant(inputs[1]).reshape(operators.shape(inputs[1])[0], -1)
    bias = operators.constant(inputs[2]) if len(inputs) > 2 and inputs[2] >= 0 else np.zeros(len(kernel), np.float32)
    if len(kernel) not in (labels, 1) or (options and options.integer(3 if conv else 0, "<b")):
        raise ValueError("its head has hidden layers: a linear one alone shows why")
    place = inputs[0]
    while operators.kind(place) in _AS_THEY_ARE:
        place = operators.inputs(place)[0]
    pooled = operators.kind(place) in (_MEAN, _POOL) and math.prod(operators.shape(place)) == kernel.shape[1]
    place = operators.inputs(place)[0] if pooled else place
    shape = operators.shape(place)
    if not pooled or len(shape) != 4 or shape[3] != kernel.shape[1] or shape[1] * shape[2] < 2:
        raise ValueError("its head does not take the mean of a map: such a one alone shows why")
    return Depth(operators.tensors[place].string(3), np.ascontiguousarray(kernel.T), bias)


def heat_of(maps: Sequence[np.ndarray], depths: Sequence[Depth], label: int, rival: int, spec: ModelSpec) -> np.ndarray:
    """What each place says of a label against another one.

    Args:
        maps: of each depth, float32 (1, height, width, channels).
        label, rival: their places among the labels.

    Returns:
        Logits, float32 (height, width) of the finest map; their mean is the logit of `label` less that of `rival`.
    """
    finest = max((each.shape[1:3] for each in maps), key=lambda shape: shape[0] * shape[1])
    heat = np.zeros(finest, np.float32)
    for each, depth in zip(maps, depths, strict=True):
        kernel, bias = depth.kernel, depth.bias
        if kernel.shape[1] == 1:  # a sigmoid: its logit is that of the second label
            kernel, bias = np.hstack([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
        own = each.reshape(-1, len(kernel)) @ (kernel[:, label] - kernel[:, rival]) + (bias[label] - bias[rival])
        own = own.reshape(each.shape[1:3])
        wide = cv2.resize(own, finest[::-1], interpolation=cv2.INTER_LINEAR)
        heat += wide + (own.mean() - wide.mean())  # between the places of a coarse map it is drawn, not known
    return heat / np.float32(spec.temperature if spec.output == "logits" else 1)


def seen_part(shape: tuple[int, ...], spec: ModelSpec) -> tuple[float, float, float, float]:
    """Where in a frame of a shape (height, width) the tensor lies, in pixels: left, top, width and height.

    What was cut off lies outside of it; where borders were added, it reaches beyond the frame.
    """
    height, width, ratio = *shape[:2], spec.size[0] / spec.size[1]
    wide: float = width
    if spec.resize != "stretch":
        wide = (min if spec.resize == "crop" else max)(width, height / ratio)
        return (width - wide) / 2, (height - wide * ratio) / 2, wide, wide * ratio
    return 0, 0, wide, height


def overlay(frame: np.ndarray, heat: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """A grey copy of a BGR uint8 frame (height, width, 3): warm what speaks for the label, cold what for the rival.

    Args:
        heat: of `heat_of`.
        spec: how the frame became a tensor; what the model did not see stays grey.
    """
    left, top, wide, high = seen_part(frame.shape, spec)
    cells = heat / max(1e-6, float(np.abs(heat).max()))
    x = (np.arange(frame.shape[1], dtype=np.float32) + 0.5 - left) / wide
    y = (np.arange(frame.shape[0], dtype=np.float32) + 0.5 - top)[:, None] / high
    places = [np.broadcast_to(v * n - 0.5, frame.shape[:2]) for v, n in ((x, heat.shape[1]), (y, heat.shape[0]))]
    across, down = (place.astype(np.float32) for place in places)
    shown = cv2.remap(cells, across, down, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    shown[np.broadcast_to((x < 0) | (x > 1) | (y < 0) | (y > 1), shown.shape)] = 0
    share = (_STRENGTH * np.abs(shown))[..., None]
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[..., None]
    return np.rint(grey * (1 - share) + np.where(shown[..., None] > 0, _WARM, _COLD) * share).astype(np.uint8)
