"""TensorFlow and Keras 2, imported once, here, quietly. All of `train` and `convert` takes them from this module.

tensorflow-model-optimization only takes Keras 2 models, which is why it is `tf_keras` and not `keras`.
"""

import ctypes
import gc
import os
from contextlib import suppress
from itertools import count

from edge.quiet import quiet

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


with quiet():
    import tensorflow as tf
    import tf_keras as keras
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    from tf_keras import layers

tf.get_logger().setLevel("ERROR")


def lite_converter(model: keras.Model) -> tf.lite.TFLiteConverter:
    """A TFLite converter for a Keras model in inference mode, with a batch of one.

    The weights are frozen into the graph first: given the Keras model itself, the converter would trace every layer
    of it into a SavedModel, 15 times as slow (30 s instead of 2 s for EfficientNet-Lite0).
    """
    signature = [tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="image")]
    traced = tf.function(lambda image: model(image, training=False), input_signature=signature)
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())


def converted(model: keras.Model) -> bytes:
    """The float graph that TFLite's converter makes of a model."""
    _free_memory()
    with quiet():
        return lite_converter(model).convert()


def _free_memory() -> None:
    """Give back what is no longer used.

    A conversion copies all weights several times, and some of the copies hang on cycles of objects: without this, a
    model of 190 MB would take more than 10 GB.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def apart(name: str, model: keras.Model) -> str:
    """A name for a new layer behind `model` that none of its layers has.

    Keras counts names by process: in a model that another process made, the name that it would count may be taken.
    """
    taken = {layer.name for layer in model.layers}
    return next(each for number in count() if (each := f"{name}_{number}" if number else name) not in taken)


__all__ = ["apart", "converted", "keras", "layers", "lite_converter", "tf"]
