"""From a backbone to a classifier: a frozen part that ends in a layer "features", and a small head behind it."""

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
) -> keras.Model:
    """One flat graph: frozen backbone, "features", dropout, "logits", and the activation.

    Args:
        backbone: (1, height, width, 3) to a feature map; its layers become untrainable.
        classes: how many labels there are.
        head: "pool" (mean over the map) or "flatten".
        dropout: the share of features that are dropped in training, 0 to less than 1.
        output: "softmax" with one unit a class, or "sigmoid" with one unit for two classes, as in the classic
            binary recipe: its value is the score of the second class.

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
