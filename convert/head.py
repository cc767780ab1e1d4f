"""The end of a graph: which operators are its head, and what features it takes."""

from typing import Any

from convert.graph import WEIGHTED, Graph

# What may stand between the last weights and the scores, and still belongs to the head.
_ENDS = {"SOFTMAX", "LOGISTIC", "LOG_SOFTMAX", "ADD", "SUB", "MUL", "RESHAPE", "SQUEEZE", "CONCATENATION"}


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
        if kind in _ENDS:
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
    return dense if all(graph.constant(graph.weights(operator)) is not None for operator in dense) else []
