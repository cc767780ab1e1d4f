"""The end of a graph: which operators are its head, and what features it takes."""

import math
from typing import Any

from convert.graph import WEIGHTED, Graph

# What may stand between the last weights and the scores, and still belongs to the head.
_FLAT = {"RESHAPE", "SQUEEZE"}
_POOLS = {*_FLAT, "MEAN", "SUM", "REDUCE_MAX", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MUL", "QUANTIZE", "DEQUANTIZE"}
_ENDS = {"SOFTMAX", "LOGISTIC", "LOG_SOFTMAX", "ADD", "SUB", "MUL", "CONCATENATION"}


def tail(graph: Graph) -> list[Any]:
    """The operators from the last weights on, in their order.

    A convolution counts if it sees one place alone: as it does at the end of a classifier.
    """
    makers = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    found: list[Any] = []
    waiting = list(graph.part.outputs)
    while waiting:
        operator = makers.get(waiting.pop())
        if operator is None or any(operator is each for each in found):
            continue
        kind = graph.kind(operator)
        small = len(graph.tensors[operator.outputs[0]].shape) < 4 or set(
            graph.tensors[operator.outputs[0]].shape[1:3]
        ) == {1}
        if kind in _ENDS | _FLAT:
            found.append(operator)
            waiting += graph.variables(operator.inputs)
        elif kind in WEIGHTED and small:
            found.append(operator)
    return [operator for operator in graph.operators if any(operator is each for each in found)]


def linear(graph: Graph) -> list[Any]:
    """The Dense layers of a head that is linear: scores are the softmax of the sum of their outputs; else none.

    They are the depths of the features, the top of the backbone last.
    """
    end = tail(graph)
    kinds = [graph.kind(operator) for operator in end]
    dense = [operator for operator in end if graph.kind(operator) == "FULLY_CONNECTED"]
    plain = all(operator.builtinOptions.fusedActivationFunction == 0 for operator in dense)
    if not dense or not plain or kinds.count("SOFTMAX") != 1 or {*kinds} - {"FULLY_CONNECTED", "ADD", "SOFTMAX"}:
        return []
    if any(graph.constant(graph.weights(operator)) is None for operator in dense):
        return []
    return sorted(dense, key=lambda operator: _depth(graph, operator.inputs[0]))


def features_of(graph: Graph) -> tuple[tuple[str, ...], str]:
    """The names of the tensors with the features of each depth, and of the last feature map; nothing where unknown.

    They are what the head takes: through hidden layers, and what puts depths side by side.
    """
    makers = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    found: list[int] = []
    waiting = [tensor for operator in tail(graph) for tensor in graph.variables(operator.inputs)]
    while waiting:
        tensor = waiting.pop()
        maker = makers.get(tensor)
        if maker is None or len(graph.tensors[tensor].shape) != 2:
            continue
        if graph.kind(maker) in (*_ENDS, "FULLY_CONNECTED", "QUANTIZE"):
            waiting += graph.variables(maker.inputs)
        elif graph.kind(maker) == "DEQUANTIZE" and graph.constant(maker.inputs[0]) is not None:
            continue  # 8-bit weights that are made float
        elif graph.kind(maker) == "DEQUANTIZE" and graph.kind(makers[maker.inputs[0]]) in ("FULLY_CONNECTED", *_ENDS):
            waiting += maker.inputs
        else:
            found.append(tensor)
    found = sorted(set(found), key=lambda tensor: _depth(graph, tensor))
    if not found:
        return (), ""
    last = _map(graph, found[-1])
    return tuple(graph.name(tensor) for tensor in found), graph.name(last) if last in makers else ""


def _map(graph: Graph, tensor: int) -> int:
    """The feature map that a tensor was pooled from; the input where there is none."""
    makers = {made: operator for operator in graph.operators for made in operator.outputs}
    while (
        tensor in makers and math.prod(graph.tensors[tensor].shape[1:3]) * (len(graph.tensors[tensor].shape) == 4) < 2
    ):
        tensor = graph.variables(makers[tensor].inputs)[0]
    return tensor


def _depth(graph: Graph, tensor: int) -> int:
    """How deep the map lies that a tensor was pooled from: a converter may pool the last one first."""
    places = {made: place for place, operator in enumerate(graph.operators) for made in operator.outputs}
    while tensor in places and graph.kind(graph.operators[places[tensor]]) in _POOLS:
        tensor = graph.variables(graph.operators[places[tensor]].inputs)[0]
    return places.get(tensor, -1)
