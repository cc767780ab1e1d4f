"""A zip with a model and its labels, as Teachable Machine (teachablemachine.withgoogle.com) hands it out.

Its archives hold `labels.txt` ("0 Name" lines) with `model_unquant.tflite` (float32), `model.tflite` (quantized) or
`keras_model.h5`. Its samples take the middle square of a picture, and pixels as pixel / 127.5 - 1.
"""

import io
import zipfile
from pathlib import PurePath
from typing import Any

TEACHABLE = {"mean": (127.5,), "std": (127.5,), "resize": "crop"}
_OURS = ("model_unquant.tflite", "model.tflite", "keras_model.h5")  # the float one first
_SMALL = 1 << 20


def unpack(
    data: bytes, suffixes: tuple[str, ...], most: int
) -> tuple[str, bytes, dict[str, bytes], dict[str, Any]] | None:
    """The model in a zip: its name, its bytes, the small files beside it, and what is known of its preprocessing.

    Args:
        data: the zip.
        suffixes: of the models to look for, the preferred first.
        most: bytes that a model may have.

    Returns:
        None if there is no such model.

    Raises:
        ValueError: if there are several to choose from, or it is compiled for an Edge TPU alone.
        Exception: whatever zipfile raises of a damaged archive.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {each.filename: each for each in archive.infolist() if not each.filename.startswith("__MACOSX/")}
        names = {name: PurePath(name).name for name in entries if not name.endswith("/")}
        models = [name for suffix in suffixes for name in names if name.lower().endswith(suffix)]
        usable = [name for name in models if "edgetpu" not in names[name]]
        known = [name for ours in _OURS for name in usable if names[name] == ours]
        if models and not usable:
            raise ValueError(
                f"{models[0]} in it is compiled for an Edge TPU: export as Tensorflow Lite, quantized or float"
            )
        if not known and len(usable) > 1:
            raise ValueError(
                f"expected one model in it, found {', '.join(usable[:5])}: unpack it, and give one of them"
            )
        if not usable:
            return None
        chosen = (known or usable)[0]
        if entries[chosen].file_size > most:
            raise ValueError(f"expected a model of at most {most >> 20} MiB in it, found {chosen}")
        model = archive.read(chosen)
        small = {name: archive.read(name) for name in list(names)[:64] if entries[name].file_size <= _SMALL}
    files = {names[name]: content for name, content in small.items()}
    return chosen, model, files, TEACHABLE if known and "labels.txt" in files else {}
