"""Weights of a backbone from a file: `.h5` (weights or a whole model), `.weights.h5`, `.keras`, or `.safetensors`.

A `.safetensors` file holds each variable of the Keras model under its name (layer, slash, variable), in Keras shapes:

    from safetensors.numpy import save_file
    save_file({weight.name.removesuffix(":0"): weight.numpy() for weight in model.weights}, "backbone.safetensors")
"""

import hashlib
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_tensors

from edge.errors import UserError
from train.keras import keras
from train.model import FEATURES


def load_file(model: keras.Model, cut: keras.Model, path: Path, name: str) -> bool:
    """Put the weights of a file into a backbone.

    A `.keras` file may be a whole classifier, such as the `model.keras` of a run: the layers of the backbone are
    then those it starts with. So may a `.safetensors` file, where names tell them. The other kinds must be of the
    backbone alone, without its top.

    Args:
        model: the whole backbone.
        cut: the part of it that is used; a `.keras` or `.safetensors` file needs no more than that.
        name: of the backbone, for errors.

    Returns:
        True for a classifier of this program: it takes RGB, also where the published weights of its backbone take BGR.

    Raises:
        UserError: if the file is missing, of another kind, damaged, or of another model.
    """
    if not path.is_file():
        raise UserError(f"--weights: expected imagenet, none or a file of weights: no file {path}")
    if path.suffix not in (".h5", ".hdf5", ".keras", ".safetensors"):
        raise UserError(f"--weights: expected a .h5, .weights.h5, .keras or .safetensors file, found {path.name}")
    try:
        if path.suffix == ".safetensors":
            tensors = load_tensors(path)
            _assign(tensors, cut)
            return any(name.startswith("logits") for name in tensors)
        if path.suffix == ".keras":
            source = keras.models.load_model(path, compile=False)
            _copy(source, cut)
            return any(layer.name == FEATURES for layer in source.layers)
        model.load_weights(path)
        return False
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"--weights: {path} does not fit {name} without its top: {reason}") from error


def weights_name(weights: str) -> str:
    """ "imagenet", "none", or the name of a file without its folder."""
    return Path(weights).name


def weights_digest(weights: str) -> str | None:
    """The SHA-256 of a file of weights (hexadecimal); None for weights that come from no file."""
    if weights in ("imagenet", "none"):
        return None
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()


# What Keras, h5py and safetensors raise for files that are damaged or of another model.
_BROKEN = (
    ValueError,
    OSError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    BadZipFile,
    zlib.error,
    SafetensorError,
)


def _assign(tensors: dict[str, np.ndarray], target: keras.Model) -> None:
    """Put each tensor into the variable of its name; all variables must be there, in their shapes."""
    variables = {weight.name.removesuffix(":0"): weight for weight in target.weights}
    for name, variable in variables.items():
        if name not in tensors:
            raise ValueError(
                f"expected a tensor {name}, found {len(tensors)} others, as {', '.join(list(tensors)[:3])}"
            )
        if tensors[name].shape != tuple(variable.shape):
            raise ValueError(f"expected {name} of shape {tuple(variable.shape)}, found {tensors[name].shape}")
    for name, variable in variables.items():
        variable.assign(tensors[name].astype(np.float32))


def _copy(source: keras.Model, target: keras.Model) -> None:
    """Copy layer by layer, in the order of the graph."""
    sources = [layer for layer in source.layers if layer.weights]
    targets = [layer for layer in target.layers if layer.weights]
    if len(sources) < len(targets):
        raise ValueError(f"expected {len(targets)} layers with weights, found {len(sources)}")
    for old, new in zip(sources, targets, strict=False):
        expected, found = [tuple(w.shape) for w in new.weights], [tuple(w.shape) for w in old.weights]
        if expected != found:
            raise ValueError(f"expected {new.name} of shapes {expected}, found {old.name} of shapes {found}")
    for old, new in zip(sources, targets, strict=False):
        new.set_weights(old.get_weights())
