"""The table of quantization schemes: what each asks of the TFLite converter."""

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
    """

    summary: str
    configure: Callable[[tf.lite.TFLiteConverter, Samples], None]


def _float32(converter: tf.lite.TFLiteConverter, samples: Samples) -> None:
    pass


def _int8(converter: tf.lite.TFLiteConverter, samples: Samples) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


SCHEMES = {
    "float32": Scheme("as trained: the reference in size and speed", _float32),
    "int8": Scheme("8-bit weights (per channel) and activations, uint8 pixels in, uint8 scores out", _int8),
}
BASELINE = "float32"
