"""Files that people take for a `.tflite` model: what each is, and what to do instead."""

import io
import re
import zipfile
from pathlib import PurePath

CONVERT = "python -m convert {path} --data PHOTOS --spec spec.json --out DIR makes a .tflite of it"
_EXPORT = "export it as TensorFlow Lite first"
_PAGE = "a web page, not the file: the link needs a login or is that of a page; download it as a raw file"
# How a file begins, and what it is. Of formats without a signature the suffix says it (below).
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (rb"\Z", "an empty file: download or copy it again"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file: run git lfs pull, or download it as a raw file"),
    (rb"(?i)(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body|script)", _PAGE),
    (rb"\x89HDF\r\n\x1a\n", f"a Keras model (HDF5): {CONVERT}"),
    (rb"\x80[\x02-\x05]", f"a pickle, as PyTorch writes: {_EXPORT} (litert-torch, or ONNX and onnx2tf)"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a packed archive: unpack it, and give the model in it"),
    (rb"GGUF", f"a language model (GGUF): {_EXPORT}, if it classifies pictures"),
    (rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|GIF8", "a picture: the model comes first, then the pictures"),
    (rb"\x08\x01\x12", "the graph of a SavedModel: give its folder to python -m convert"),
)
_SUFFIXES = {
    ".onnx": f"an ONNX model: {_EXPORT} (onnx2tf)",
    ".pt": f"a PyTorch model: {_EXPORT} (litert-torch, or ONNX and onnx2tf)",
    ".pth": f"a PyTorch model: {_EXPORT} (litert-torch, or ONNX and onnx2tf)",
    ".safetensors": f"weights without a model (safetensors): load them into the model, and {_EXPORT}",
    ".pb": f"a TensorFlow graph (.pb): give the folder of a SavedModel to python -m convert, or {_EXPORT}",
    ".mlmodel": f"a Core ML model: take the model it was made of, and {_EXPORT}",
    ".keras": f"a Keras model: {CONVERT}",
    ".h5": f"a Keras model: {CONVERT}",
    ".xml": f"an OpenVINO model: take the model it was made of, and {_EXPORT}",
    ".engine": f"a TensorRT engine, for one GPU alone: take the model it was made of, and {_EXPORT}",
    ".json": f"a JSON file, maybe of TensorFlow.js: take the model it was made of, and {_EXPORT}",
}
# What a zip archive is, by a name in it.
_ARCHIVES = (
    (r"(^|/)data\.pkl$", _SUFFIXES[".pt"]),
    (r"^model\.weights\.h5$", _SUFFIXES[".keras"]),
    (r"\.mlmodel$|^Manifest\.json$", _SUFFIXES[".mlmodel"]),
    (
        r"(^|/)keras_model\.h5$|\.h5$|\.keras$",
        f"an archive with a Keras model: {CONVERT.replace(' --spec spec.json', '')}",
    ),
    (r"(^|/)saved_model\.pb$", "an archive with a SavedModel: unpack it, and give its folder to python -m convert"),
    (r"(^|/)model\.json$", f"a model of TensorFlow.js: {_EXPORT} (Teachable Machine: Export, Tensorflow Lite)"),
    (
        r"\.tflite$",
        "a bundle of several models, which do not classify pictures: expected the .tflite of one classifier",
    ),
)


def mistaken(path: PurePath, data: bytes) -> str:
    """What a file is that is no TFLite model, and the remedy; else its first bytes."""
    for beginning, told in _BEGINNINGS:
        if re.match(beginning, data[:512], re.S):
            return told.format(path=path)
    if data.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                names = archive.namelist()
        except Exception:  # zipfile raises many kinds
            return "a damaged zip archive: download or copy it again"
        for name, told in _ARCHIVES:
            if any(re.search(name, each) for each in names):
                return told.format(path=path)
        return f"a zip archive without a model, with {', '.join(names[:5]) or 'nothing'}"
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()].format(path=path)
    if re.match(rb"\x08[\x02-\x14]\x12", data):  # the version of the format, then the name of the program that wrote it
        return _SUFFIXES[".onnx"]
    return f"{data[4:8]!r}: it is another kind of file, or damaged; download or copy it again"


def mistaken_folder(path: PurePath, names: set[str]) -> str:
    """The same of a folder with these names in it."""
    if "saved_model.pb" in names:
        return f"a SavedModel: {CONVERT.format(path=path)}"
    if "export" in names and "spec.json" in names:
        return f"a run directory: take {path / 'export' / 'best.tflite'}"
    if "best.tflite" in names:
        return f"a folder: take {path / 'best.tflite'}"
    return "a folder"
