"""Weights of a backbone from a file: `.h5` (weights or a whole model), `.weights.h5`, or `.keras`."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

from edge.errors import UserError
from train.keras import keras
from train.model import FEATURES


def load_file(model: keras.Model, cut: keras.Model, path: Path, name: str) -> bool:
    """Put the weights of a file into a backbone.

    A `.keras` file may be a whole classifier, such as the `model.keras` of a run: the layers of the backbone are
    then those it starts with. The other kinds must be of the backbone alone, without its top.

    Args:
        model: the whole backbone.
        cut: the part of it that is used; a `.keras` file needs no more than that.
        name: of the backbone, for errors.

    Returns:
        True for a classifier of this program: it takes RGB, also where the published weights of its backbone take BGR.

    Raises:
        UserError: if the file is missing, of another kind, damaged, or of another model.
    """
    if not path.is_file():
        raise UserError(f"--weights: expected imagenet, none or a file of weights: no file {path}")
    if path.suffix not in (".h5", ".hdf5", ".keras"):
        raise UserError(f"--weights: expected a .h5, .weights.h5 or .keras file, found {path.name}")
    try:
        if path.suffix == ".keras":
            source = keras.models.load_model(path, compile=False)
            _copy(source, cut)
            return any(layer.name == FEATURES for layer in source.layers)
        model.load_weights(path)
        return False
    except (ValueError, OSError, TypeError, KeyError, IndexError, AttributeError, BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"--weights: {path} does not fit {name} without its top: {reason}") from error


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
