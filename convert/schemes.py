"""The table of quantization schemes: what each does to the model first, and what it asks of the TFLite converter."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from train.keras import tf

Samples = Callable[[], Iterable[list[np.ndarray]]]


@dataclass(frozen=True)
class Scheme:
    """One entry of the table.

    Attributes:
        summary: one line for people.
        configure: sets up a converter, given the representative data set: a function that yields lists of one
            float32 tensor (1, height, width, 3).
        training: steps of `convert.tune` that the model goes through before, in this order.
        selective: whether the layers that quantization hurts most stay in float.
    """

    summary: str
    configure: Callable[[tf.lite.TFLiteConverter, Samples], None]
    training: tuple[str, ...] = ()
    selective: bool = False


def _float32(converter: tf.lite.TFLiteConverter, samples: Samples) -> None:
    pass


def _float16(converter: tf.lite.TFLiteConverter, samples: Samples) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic(converter: tf.lite.TFLiteConverter, samples: Samples) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # One scale per output unit of a Dense layer would make it version 12 of its operator, which tflite-runtime 2.14
    # does not know.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True


def _int8(converter: tf.lite.TFLiteConverter, samples: Samples) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


def _int8_or_float(converter: tf.lite.TFLiteConverter, samples: Samples) -> None:
    _int8(converter, samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]


def _int16x8(converter: tf.lite.TFLiteConverter, samples: Samples) -> None:
    # Input and output stay float: readers of the standard metadata know no int16 pictures.
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]


def _trained_int8(converter: tf.lite.TFLiteConverter, samples: Samples) -> None:
    # The ranges of all activations were learned: there is nothing to calibrate.
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


SCHEMES = {
    "float32": Scheme("as trained: the reference in size and speed", _float32),
    "float16": Scheme("16-bit float weights, float arithmetic", _float16),
    "dynamic": Scheme("8-bit weights, activations quantized as they come; float in and out", _dynamic),
    "int8": Scheme("8-bit weights (per channel) and activations, uint8 pixels in, uint8 scores out", _int8),
    "int16x8": Scheme("8-bit weights, 16-bit activations: for models that int8 hurts; slow on most CPUs", _int16x8),
    "selective-int8": Scheme("int8, but the layers that it hurts most stay in float", _int8_or_float, selective=True),
    "qat-int8": Scheme("int8 after quantization-aware training", _trained_int8, ("quantize",)),
    "pruned-int8": Scheme("int8 after magnitude pruning: half of the weights are zero", _int8, ("prune",)),
    "clustered-int8": Scheme("int8 after weight clustering: few different weights a layer", _int8, ("cluster",)),
    "pruned-qat-int8": Scheme(
        "pruning, then quantization-aware training that keeps the zeros", _trained_int8, ("prune", "quantize-pruned")
    ),
    "clustered-qat-int8": Scheme(
        "clustering, then quantization-aware training that keeps the clusters",
        _trained_int8,
        ("cluster", "quantize-clustered"),
    ),
}
BASELINE = "float32"
