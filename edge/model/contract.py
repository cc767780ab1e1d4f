"""The contract: all that a device must know of a model, and how it travels inside the `.tflite` file.

A `.tflite` file is a flatbuffer (the graph) and, after it, a zip archive of associated files; any TFLite runtime
reads the first and ignores the second. FrostLite puts `frostlite.json` (a `ModelSpec`) and `labels.txt` there.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePath
from typing import Any

from edge.drift import SHARES
from edge.errors import UserError
from edge.model.archive import unpack
from edge.model.mistaken import mistaken, mistaken_folder
from edge.text import printable

SPEC_FILE = "frostlite.json"
LABELS_FILE = "labels.txt"
BANK_FILE = "likeness.npy"
KEPT_FILE = "kept.npz"
HEAD_FILE = "head.npy"
RESIZE_MODES = ("stretch", "crop", "pad")
OUTPUTS = ("probabilities", "logits")
MAX_MODEL_BYTES = 1 << 30
MAX_SPEC_BYTES = 1 << 20
MAX_HEAD_BYTES = 1 << 24
MAX_FILES = 64


@dataclass(frozen=True)
class ModelSpec:
    """What a model takes and what it gives.

    Attributes:
        labels: one name per output, in the order of the outputs.
        size: height and width of the input tensor in pixels.
        resize: how a frame of another shape is brought to `size`: "stretch" it, "crop" the middle, or "pad" it.
        mean, std: per channel in RGB order, in pixel units: the float input is (pixel - mean) / std.
        output: "probabilities" (they sum to 1) or "logits".
        temperature: the logits are divided by it before the softmax; a graph that gives "probabilities" has done so.
        threshold: the smallest top score, 0 to 1, for an answer other than "unknown".
        features: names of the tensors that hold the pooled features of each depth, the top last; none if unknown.
        feature_map: name of the tensor with the last feature map, (1, height, width, channels); empty if unknown.
        likeness: the smallest likeness (`edge.model.likeness`), -1 to 1, of the top features to the training pictures
            for an answer other than "unknown"; -1 asks for none.
        head: SHA-256 of `head.npy` behind the graph, hexadecimal, where the head was taught on a device
            (`edge.model.head`): its scores, and not the graph's, are of `labels`. Empty: the graph has its head.
        usual: the likeness that no more than each of `edge.drift.SHARES` of pictures fall short of; empty if unknown.
        backbone, scheme: names, for people.
        graph_sha256: of the flatbuffer part of the file, hexadecimal; empty outside a `.tflite` file.
        provenance: JSON values that say where the model comes from; "threshold" in it: what was measured of that.

    Raises:
        ValueError: for a value outside of what is said above.
    """

    labels: tuple[str, ...]
    size: tuple[int, int]
    resize: str = "stretch"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    output: str = "probabilities"
    temperature: float = 1.0
    threshold: float = 0.0
    features: tuple[str, ...] = ()
    feature_map: str = ""
    likeness: float = -1.0
    head: str = ""
    usual: tuple[float, ...] = ()
    backbone: str = ""
    scheme: str = ""
    graph_sha256: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (
            ("labels", str),
            ("size", int),
            ("mean", float),
            ("std", float),
            ("features", str),
            ("usual", float),
        ):
            object.__setattr__(self, name, tuple(kind(value) for value in getattr(self, name)))
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: expected one or more different names, found {list(self.labels)}")
        if not all(label.strip() and printable(label) for label in self.labels):
            raise ValueError(f"labels: expected printable names, found {list(self.labels)}")
        if len(self.size) != 2 or not all(1 <= side <= 4096 for side in self.size):
            raise ValueError(f"size: expected height and width of 1 to 4096 pixels, found {list(self.size)}")
        if self.resize not in RESIZE_MODES:
            raise ValueError(f"resize: expected one of {', '.join(RESIZE_MODES)}, found {self.resize!r}")
        if self.output not in OUTPUTS:
            raise ValueError(f"output: expected one of {', '.join(OUTPUTS)}, found {self.output!r}")
        if len(self.mean) != 3 or not all(map(math.isfinite, self.mean)):
            raise ValueError(f"mean: expected three finite numbers in RGB order, found {list(self.mean)}")
        if len(self.std) != 3 or not all(math.isfinite(value) and value > 0 for value in self.std):
            raise ValueError(f"std: expected three positive numbers in RGB order, found {list(self.std)}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature: expected a positive number, found {self.temperature}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold: expected 0 to 1, found {self.threshold}")
        if not -1 <= self.likeness <= 1:
            raise ValueError(f"likeness: expected -1 to 1, found {self.likeness}")
        if self.usual and (len(self.usual) != len(SHARES) or list(self.usual) != sorted(self.usual)):
            raise ValueError(f"usual: expected {len(SHARES)} rising numbers, found {list(self.usual)}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelSpec":
        """Read what `to_json` wrote; unknown keys are ignored, so that older devices read newer files.

        Raises:
            ValueError: if it is not JSON, lacks a key or has a value out of range.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"expected a JSON object, found {type(values).__name__}")
        try:
            return cls(**{item.name: values[item.name] for item in fields(cls) if item.name in values})
        except (TypeError, OverflowError) as error:  # OverflowError: numbers that JSON has and a float has not
            raise ValueError(str(error)) from error


@dataclass(frozen=True)
class ModelFile:
    """A `.tflite` file that was read and checked.

    Attributes:
        path: its name.
        graph: the flatbuffer, for a runtime.
        spec: its contract, if it has one.
        files: the small files behind the flatbuffer, or beside it in an archive, by name.
        known: mean, std and resize of a model whose maker is known to use these.
    """

    path: Path
    graph: bytes
    spec: ModelSpec | None
    files: dict[str, bytes] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)


def read_model(path: str | Path) -> ModelFile:
    """Read a `.tflite` file, check what can be checked, and hand back bytes that are safe to give to a runtime.

    A zip of Teachable Machine, or any with one `.tflite` in it, is taken too.

    Raises:
        UserError: if it is missing, is no TFLite flatbuffer, is damaged, or its contract does not hold.
    """
    path = Path(path)
    try:
        data = _read(path)
    except OSError as error:
        raise UserError(f"{path}: expected a .tflite model that can be read, found: {error.strerror}") from error
    if data[4:8] != b"TFL3":
        return _in_archive(path, data)
    return _checked(path, data)


def _checked(path: Path, data: bytes) -> ModelFile:
    try:
        end, files = _associated_files(data)
    except Exception as error:  # zipfile raises many kinds: RuntimeError, zlib.error, struct.error …
        raise UserError(f"{path}: damaged, its associated files cannot be read: {error}") from error
    graph = data[:end]
    if SPEC_FILE not in files:
        return ModelFile(path, graph, None, files)
    try:
        spec = ModelSpec.from_json(files[SPEC_FILE])
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {SPEC_FILE} in it is not usable: {error}") from error
    found = hashlib.sha256(graph).hexdigest()
    if found != spec.graph_sha256:
        raise UserError(
            f"{path}: damaged or changed: expected a graph with SHA-256 {spec.graph_sha256 or 'unknown'}, found {found}"
        )
    if spec.head and hashlib.sha256(files.get(HEAD_FILE, b"")).hexdigest() != spec.head:
        raise UserError(f"{path}: damaged or changed: expected a {HEAD_FILE} in it with SHA-256 {spec.head}")
    return ModelFile(path, graph, spec, files)


def _in_archive(path: Path, data: bytes) -> ModelFile:
    """The model in a zip."""
    found = None
    if data.startswith(b"PK") and path.suffix.lower() != ".task":
        try:
            found = unpack(data, (".tflite",), MAX_MODEL_BYTES)
        except Exception as error:  # zipfile raises many kinds
            raise UserError(f"{path}: expected a zip with one TFLite model, found: {error}") from error
    if found is None:
        raise UserError(f"{path}: expected a TFLite model, found {mistaken(path, data)}")
    name, graph, files, known = found
    if graph[4:8] != b"TFL3":
        raise UserError(f"{path}: {name} in it: expected a TFLite model, found {mistaken(PurePath(name), graph)}")
    file = _checked(path, graph)
    return replace(file, files={**files, **file.files}, known=known)


def _read(path: Path) -> bytes:
    if not path.is_file():
        found = mistaken_folder(path, {each.name for each in path.iterdir()}) if path.is_dir() else "nothing"
        raise UserError(f"{path}: expected a .tflite model, found {found}")
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise UserError(f"{path}: expected a model of at most {MAX_MODEL_BYTES >> 20} MiB")
    return path.read_bytes()


def _associated_files(data: bytes) -> tuple[int, dict[str, bytes]]:
    """Where the flatbuffer ends, and the small files of the archive behind it (none: all of it is flatbuffer)."""
    if b"PK\x05\x06" not in data[-(1 << 16) :]:
        return len(data), {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()[:MAX_FILES]
        end = min((entry.header_offset for entry in entries), default=len(data))
        files = {}
        for entry in entries:
            if entry.file_size <= (MAX_HEAD_BYTES if entry.filename == HEAD_FILE else MAX_SPEC_BYTES):
                files[entry.filename] = archive.read(entry)
            elif entry.filename == SPEC_FILE:
                raise ValueError(f"{entry.filename} has {entry.file_size} bytes")
    return end, files


def append_files(graph: bytes, spec: ModelSpec, more: Mapping[str, bytes] | None = None) -> bytes:
    """The whole `.tflite` file: `graph`, then `labels.txt`, the contract, and more files by name.

    `spec.graph_sha256` must be right.
    """
    buffer = io.BytesIO(graph)
    buffer.seek(0, io.SEEK_END)
    # Stored, not deflated, and dated 1980: other readers map these files in place, and equal models give equal bytes.
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        files: dict[str, str | bytes] = {
            LABELS_FILE: "\n".join(spec.labels) + "\n",
            SPEC_FILE: spec.to_json(),
            **(more or {}),
        }
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()
