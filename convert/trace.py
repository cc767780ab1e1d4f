"""What the frozen graph of a Keras model shows: its last operation, and what a finished model should not have in it."""

from dataclasses import dataclass
from typing import Any

from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from train.keras import keras, tf

# Values stay as they are in these.
_SHAPING = ("Identity", "Reshape", "Squeeze", "Cast", "ExpandDims", "EnsureShape", "StopGradient", "Snapshot")
# Names of `edge.model.judge` for operations of TensorFlow.
_OPERATIONS = {
    "Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu", "Relu6": "relu6", "Elu": "",
    "Softplus": "softplus", "Softsign": "softsign", "LogSoftmax": "log_softmax", "BiasAdd": "linear",
    "MatMul": "linear", "Conv2D": "linear",
}  # fmt: skip


@dataclass(frozen=True)
class Trace:
    """Names of operations; "" where there is none: `random` draws, `half` is a type of fewer than 32 bits; `training`:
    whether a BatchNormalization learns.
    """

    operation: str
    random: str
    half: str
    training: bool


def trace(model: keras.Model) -> Trace:
    """Trace a model in inference mode, with one picture."""
    taken = [tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)]
    concrete = tf.function(lambda image: model(image, training=False), input_signature=taken).get_concrete_function()
    try:
        frozen = convert_variables_to_constants_v2(concrete)
    except ValueError:  # its generator of random numbers is a variable that changes
        inner = [node.op for each in concrete.graph.as_graph_def().library.function for node in each.node_def]
        draws = [name for name in inner if _random(name)]
        if not draws:
            raise
        return Trace("", draws[0], "", False)
    nodes = {node.name: node for node in frozen.graph.as_graph_def().node}
    start = _name(frozen.outputs[0].op.name)
    used = [nodes[name] for name in _reachable(nodes, start)]
    last = nodes[start]
    while last.op in _SHAPING and last.input:
        last = nodes[_name(last.input[0])]
    random = next((node.op for node in used if _random(node.op)), "")
    half = next((kind for node in used for kind in _types(node) if kind in ("float16", "bfloat16")), "")
    training = any(node.op.startswith("FusedBatchNorm") and node.attr["is_training"].b for node in used)
    return Trace(_OPERATIONS.get(last.op, ""), random, half, training)


def _random(name: str) -> bool:
    return "Random" in name or name == "Multinomial"


def _name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _reachable(nodes: dict[str, Any], start: str) -> set[str]:
    seen, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [_name(each) for each in nodes[name].input]
    return seen


def _types(node: Any) -> list[str]:
    return [tf.dtypes.as_dtype(value.type).name for value in node.attr.values() if value.WhichOneof("value") == "type"]
