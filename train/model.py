"""From a backbone to a classifier: a frozen part that ends in a layer "features", and a small head behind it."""

from collections.abc import Sequence

from edge.errors import UserError
from train.keras import keras, layers

FEATURES = "features"
HEADS = {"pool": layers.GlobalAveragePooling2D, "flatten": layers.Flatten}
OUTPUTS = ("softmax", "sigmoid")


def build_classifier(
    backbone: keras.Model,
    classes: int,
    head: str = "pool",
    dropout: float = 0.2,
    output: str = "softmax",
    dense: Sequence[int] = (),
) -> keras.Model:
    """One flat graph: frozen backbone, "features", hidden layers and dropout, "logits", and the activation "scores".

    Args:
        backbone: (1, height, width, 3) to a feature map; its layers become untrainable.
        classes: how many labels there are.
        head: "pool" (mean over the map) or "flatten".
        dropout: the share of units that are dropped in training, 0 to less than 1: of each hidden layer, or of the
            features where there is none.
        output: "softmax" with one unit a class, or "sigmoid" with one unit for two classes, as in the classic
            binary recipe: its value is the score of the second class.
        dense: units of the hidden layers, which have ReLU.

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
    x = HEADS[head](name=FEATURES)(backbone.output)
    for number, units in enumerate(dense, 1):
        x = layers.Dense(units, activation="relu", name=f"dense_{number}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
    if not dense:
        x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(1 if output == "sigmoid" else classes, name="logits")(x)
    return keras.Model(backbone.input, layers.Activation(output, name="scores")(x), name="frostlite")


def split_at_features(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The two halves of a classifier, sharing its layers: picture to features, and features to scores."""
    features = model.get_layer(FEATURES)
    start = keras.Input(features.output.shape[1:], name="features_input")
    x = start
    for layer in model.layers[model.layers.index(features) + 1 :]:
        x = layer(x)
    return keras.Model(model.input, features.output), keras.Model(start, x)


def unfreeze(model: keras.Model, which: str) -> list[str]:
    """Open the layers of the backbone next to the head: from the layer named `which` on, or the last `which` many.

    BatchNormalization stays as it is: with few pictures its statistics would be lost. An untrainable one runs in
    inference mode also while the rest is trained.

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
    backbone = model.layers[: model.layers.index(model.get_layer(FEATURES))]
    names = [layer.name for layer in backbone]
    if which.isdecimal() and 1 <= int(which) <= len(backbone):
        start = len(backbone) - int(which)
    elif which in names:
        start = names.index(which)
    else:
        raise UserError(
            f"--unfreeze: expected a layer of the backbone (--list-layers) or 1 to {len(backbone)}, found {which!r}"
        )
    return [layer for layer in backbone[start:] if not isinstance(layer, layers.BatchNormalization)]


def parameters(model: keras.Model) -> tuple[int, int]:
    """How many parameters are trainable, and how many are frozen."""
    trainable = sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)
    return trainable, model.count_params() - trainable
