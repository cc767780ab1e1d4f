"""From a backbone to a classifier: a frozen part whose maps end in features, and a small head behind them.

The maps of one depth or of several are pooled or flattened. With several, each depth has a Dense of its own and the
logits are added: so each keeps its own scale in 8 bits. Hidden layers take all depths side by side.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.errors import UserError
from edge.model.head import Head
from train.keras import apart, keras, layers
from train.threshold import Calibration

FEATURES, LOGITS = "features", "logits"
HEADS = {"pool": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}
OUTPUTS = ("softmax", "sigmoid")


def build_classifier(
    backbone: keras.Model,
    classes: int,
    head: str = "pool",
    dropout: float = 0.2,
    output: str = "softmax",
    dense: Sequence[int] = (),
    taps: Sequence[str] = (),
) -> keras.Model:
    """One flat graph: frozen backbone, features, hidden layers and dropout, "logits", and the activation "scores".

    With one depth its layers are "features", "dropout" and "logits". With several they are numbered from 1, the top of
    the backbone last, and "logits" adds them; in front of hidden layers "features" puts them side by side.

    Args:
        backbone: (1, height, width, 3) to a feature map; its layers become untrainable.
        classes: how many labels there are.
        head: "pool" (mean over the map) or "flatten".
        dropout: the share of units that are dropped in training, 0 to less than 1: of each hidden layer, or of the
            features where there is none.
        output: "softmax" with one unit a class, or "sigmoid" with one unit for two classes, as in the classic
            binary recipe: its value is the score of the second class.
        dense: units of the hidden layers, which have ReLU.
        taps: layers of the backbone whose maps are used beside its top, the deepest last.

    Raises:
        UserError: for a value outside of what is said above.
    """
    if head not in HEADS:
        raise UserError(f"--head: expected one of {', '.join(HEADS)}, found {head!r}")
    if not 0 <= dropout < 1:
        raise UserError(f"--dropout: expected 0 to less than 1, found {dropout}")
    if output not in OUTPUTS:
        raise UserError(f"--output: expected one of {', '.join(OUTPUTS)}, found {output!r}")
    if output == "sigmoid" and classes != 2:
        raise UserError(f"--output sigmoid: expected two classes, found {classes}")
    backbone.trainable = False
    maps = [*(backbone.get_layer(tap).output for tap in taps), backbone.output]
    numbers = [f"_{number}" for number in range(1, len(maps) + 1)] if taps else [""]
    features = [HEADS[head](name=FEATURES + number)(each) for number, each in zip(numbers, maps, strict=True)]
    units = 1 if output == "sigmoid" else classes
    if dense:
        x = layers.Concatenate(name=FEATURES)(features) if taps else features[0]
        for number, width in enumerate(dense, 1):
            x = layers.Dense(width, activation="relu", name=f"dense_{number}")(x)
            x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
        logits = layers.Dense(units, name=LOGITS)(x)
    else:
        dropped = [layers.Dropout(dropout, name=f"dropout{n}")(x) for n, x in zip(numbers, features, strict=True)]
        each = [layers.Dense(units, name=LOGITS + n)(x) for n, x in zip(numbers, dropped, strict=True)]
        logits = layers.Add(name=LOGITS)(each) if taps else each[0]
    return keras.Model(backbone.input, layers.Activation(output, name="scores")(logits), name="frostlite")


def depths(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a classifier that give its features, the top of the backbone last."""
    numbered = [layer for layer in model.layers if layer.name.removeprefix(f"{FEATURES}_").isdecimal()]
    return sorted(numbered, key=lambda layer: int(layer.name.rpartition("_")[2])) or [model.get_layer(FEATURES)]


def parts(model: keras.Model) -> tuple[slice, ...]:
    """The columns of each depth, where the features of all depths lie side by side."""
    ends = np.cumsum([layer.output.shape[-1] for layer in depths(model)]).tolist()
    return tuple(slice(start, end) for start, end in zip([0, *ends], ends, strict=False))


def split_at_features(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The two halves of a classifier, sharing its layers: picture to features (any, F), and features to scores.

    The features of several depths lie side by side, as `parts` says.
    """
    ends = depths(model)
    outputs = [layer.output for layer in ends]
    row = layers.Concatenate(name=apart("depths", model))
    extractor = keras.Model(model.input, row(outputs) if len(ends) > 1 else outputs[0])
    start = keras.Input(extractor.output_shape[1:], name="features_input")
    made = {ends[0].name: start}
    if len(ends) > 1:
        made = {layer.name: start[:, part] for layer, part in zip(ends, parts(model), strict=True)}
    made = follow(model, made)
    return extractor, keras.Model(start, made[model.layers[-1].name])


def follow(model: keras.Model, made: dict[str, Any]) -> dict[str, Any]:
    """Apply the layers of a model to other inputs, as far as these reach; BatchNormalization keeps its statistics.

    Args:
        made: tensors by the names of the layers that they stand for.

    Returns:
        The same, with the output of every layer that follows from them.
    """
    made = dict(made)
    for layer in model.layers:
        above = [parent.name for parent in parents(layer)]
        if layer.name not in made and above and all(name in made for name in above):
            node, given = layer.inbound_nodes[0], defaultdict(list)
            for taken in node.keras_inputs:
                given[str(id(taken))].append(made[taken.node.layer.name])
            args, more = node.map_arguments(given)  # as it was called, with what is no tensor: the 3 of x + 3
            if isinstance(layer, layers.BatchNormalization):
                more["training"] = False
            made[layer.name] = layer(*args, **more)
    return made


def parents(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that a layer takes in the graph that it was made in."""
    found: Any = layer.inbound_nodes[0].inbound_layers if layer.inbound_nodes else []
    return found if isinstance(found, list) else [found]


def logit_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The Dense layers that make the logits: one, or one a depth, whose outputs are added."""
    last = model.get_layer(LOGITS)
    return [last] if isinstance(last, layers.Dense) else parents(last)


def write_head(model: keras.Model, head: Head, centre: np.ndarray) -> None:
    """Make a linear head the weights of the Dense layers of a classifier without hidden layers.

    The scores are those of the head. What does not change them is chosen so that each depth gives small logits around
    zero, which is best for 8 bits: the mean over the labels goes, and each bias takes the mean feature away.

    Args:
        centre: the mean features, float (features,).
    """
    kernel, bias = head.kernel.astype(np.float64), head.bias.astype(np.float64)
    if model.output_shape[-1] == 1:  # one sigmoid is the second of two labels against the first
        kernel, bias = kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    else:
        kernel, bias = kernel - kernel.mean(axis=1, keepdims=True), bias - bias.mean()
    targets = logit_layers(model)
    middle = [centre[part] @ kernel[part] for part in parts(model)]
    for number, (layer, part) in enumerate(zip(targets, parts(model), strict=True)):
        own = sum(middle) + bias - middle[number] if number == len(targets) - 1 else -middle[number]
        layer.set_weights([kernel[part].astype(np.float32), own.astype(np.float32)])


def read_head(model: keras.Model) -> Head:
    """The linear head that the Dense layers of a classifier without hidden layers are."""
    weights = [layer.get_weights() for layer in logit_layers(model)]
    kernel, bias = np.concatenate([kernel for kernel, _ in weights]), np.sum([bias for _, bias in weights], axis=0)
    if kernel.shape[1] == 1:
        kernel, bias = np.hstack([np.zeros_like(kernel), kernel]), np.concatenate([np.zeros_like(bias), bias])
    return Head(kernel, bias)


def fold_in(model: keras.Model, fitted: Calibration) -> None:
    """Shift the logits of a classifier and divide them by the temperature, in its last layers with weights."""
    targets = logit_layers(model)
    for layer in targets:
        kernel, bias = layer.get_weights()
        if layer is targets[-1]:
            shift = np.array(fitted.shift, bias.dtype)
            # One sigmoid stands for the logits 0 and z of two labels.
            bias = bias + (shift if len(bias) == len(shift) else shift[1] - shift[0])
        layer.set_weights([kernel / fitted.temperature, bias / fitted.temperature])


def unfreeze(model: keras.Model, which: str) -> list[str]:
    """Open the layers of the backbone next to the head: from the layer named `which` on, or the last `which` many.

    `train.fit` runs BatchNormalization in inference mode throughout: its scale and offset learn, its statistics, which
    few pictures would spoil, stay.

    Returns:
        The names of the layers that are trainable now, of those with weights.

    Raises:
        UserError: if there is no such layer, or not so many.
    """
    opened = to_unfreeze(model, which)
    for layer in opened:
        layer.trainable = True
    return [layer.name for layer in opened if layer.weights]


def to_unfreeze(model: keras.Model, which: str) -> list[keras.layers.Layer]:
    """The layers that `unfreeze` would open.

    Raises:
        UserError: if there is no such layer, or not so many.
    """
    backbone = model.layers[: min(model.layers.index(layer) for layer in depths(model))]
    names = [layer.name for layer in backbone]
    if which.isdecimal() and 1 <= int(which) <= len(backbone):
        start = len(backbone) - int(which)
    elif which in names:
        start = names.index(which)
    else:
        raise UserError(
            f"--unfreeze: expected a layer of the backbone (--list-layers) or 1 to {len(backbone)}, found {which!r}"
        )
    return backbone[start:]


def parameters(model: keras.Model) -> tuple[int, int]:
    """How many parameters are trainable, and how many are frozen."""
    trainable = sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)
    return trainable, model.count_params() - trainable
