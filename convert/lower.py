"""From a Keras model to a float graph, by TensorFlow's converter."""

import ctypes
import gc
from contextlib import suppress

from edge.quiet import quiet
from train.keras import keras, lite_converter


def converted(model: keras.Model) -> bytes:
    """The graph that the converter makes of a model."""
    free_memory()
    converter = lite_converter(model)
    with quiet():
        return converter.convert()


def free_memory() -> None:
    """Give back what an earlier conversion left behind.

    It copies all weights several times, and some of the copies hang on cycles of objects: without this, a model of
    190 MB would take more than 10 GB.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)
