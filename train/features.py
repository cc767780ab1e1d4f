"""What a frozen backbone says of each picture: computed once, in float TFLite, and kept on disk.

A frozen backbone gives the same features in every epoch and every run. They are kept by content: the folder is named
after the extractor (weights and preprocessing), the row after the SHA-256 of the picture. So a changed picture is a
new one, and a picture that moved is known.
"""

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from edge.contract import ModelSpec
from edge.interpreter import Interpreter
from edge.pictures import read_picture
from edge.preprocess import prepare
from edge.quiet import quiet
from train.cache import cache_folder, locked
from train.dataset import Picture
from train.keras import keras, lite_converter
from train.progress import progress

_KEY_BYTES = 32 + 4  # the picture's SHA-256 and the CRC-32 of its row
_BATCH = 64


@dataclass(frozen=True)
class Features:
    """Rows of features on disk: picture number i has `matrix[rows[i]]`.

    Attributes:
        matrix: float32 of shape (any, features), memory-mapped.
        rows: int64 of shape (pictures,).
        computed: how many pictures were new.
    """

    matrix: np.ndarray
    rows: np.ndarray
    computed: int

    def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
        """Features of the pictures at `index`, float32 (pictures, features)."""
        return np.asarray(self.matrix[self.rows[index]])

    def part(self, index: slice) -> "Features":
        """The same for some of the pictures."""
        return replace(self, rows=self.rows[index])


def extract(
    extractor: keras.Model, spec: ModelSpec, pictures: Sequence[Picture], cache: Path | None = None
) -> Features:
    """The features of `pictures`, from the cache where it has them, else computed and added to it.

    Args:
        extractor: (1, height, width, 3) RGB floats, normalized as `spec` says, to (1, features).
        spec: how a picture becomes a tensor.
        pictures: what to extract; equal pictures share a row.
        cache: folder of the cache; `cache_folder()` by default.
    """
    width = int(extractor.output_shape[-1])
    folder = (cache or cache_folder()) / "features" / _fingerprint(extractor, spec)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        locked(folder / "lock"),
        (folder / "keys").open("a+b") as keys,
        (folder / "rows").open("a+b") as rows,
    ):
        known = _sound_rows(keys, rows, width)
        missing = list({picture.digest: picture for picture in pictures if picture.digest not in known}.values())
        if missing:
            with quiet():
                graph = lite_converter(extractor).convert()
            with progress("features", len(missing)) as bar:
                for batch, values in _compute(graph, spec, missing):
                    # The rows first, then the keys: a row without a key is dead weight, a key without its row a lie.
                    rows.write(values.tobytes())
                    rows.flush()
                    digests = [bytes.fromhex(picture.digest) for picture in batch]
                    keys.write(b"".join(d + _crc(row) for d, row in zip(digests, values, strict=True)))
                    keys.flush()
                    known.update({picture.digest: len(known) + i for i, picture in enumerate(batch)})
                    bar.update(len(batch))
        index = np.array([known[picture.digest] for picture in pictures], np.int64)
        return Features(_matrix(rows.name, width), index, len(missing))


def _fingerprint(extractor: keras.Model, spec: ModelSpec) -> str:
    digest = hashlib.sha256(repr((extractor.to_json(), spec.size, spec.resize, spec.mean, spec.std)).encode())
    for weight in extractor.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()[:32]


def _sound_rows(keys, rows, width: int) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """Digest to row number, for as many rows from the start as are whole; what follows them is cut off."""
    keys.seek(0)
    data = keys.read()
    count = min(len(data) // _KEY_BYTES, Path(rows.name).stat().st_size // (4 * width))
    entries = [data[i * _KEY_BYTES : (i + 1) * _KEY_BYTES] for i in range(count)]
    matrix = _matrix(rows.name, width)
    sound = sum(1 for _ in _while_sound(entries, matrix))
    keys.truncate(sound * _KEY_BYTES)
    rows.truncate(sound * 4 * width)
    return {entry[:32].hex(): number for number, entry in enumerate(entries[:sound])}


def _while_sound(entries: list[bytes], matrix: np.ndarray) -> Iterator[bytes]:
    for entry, row in zip(entries, matrix, strict=False):
        if entry[32:] != _crc(row):
            return
        yield entry


def _crc(row: np.ndarray) -> bytes:
    return zlib.crc32(row.tobytes()).to_bytes(4, "little")


def _matrix(path: str, width: int) -> np.ndarray:
    count = Path(path).stat().st_size // (4 * width)
    if not count:
        return np.empty((0, width), np.float32)
    return np.memmap(path, np.float32, "r", shape=(count, width))


def _compute(graph: bytes, spec: ModelSpec, pictures: list[Picture]) -> Iterator[tuple[list[Picture], np.ndarray]]:
    """Batches of pictures with their features. One interpreter a core: faster than one with all the threads."""
    workers = os.cpu_count() or 1
    free: SimpleQueue[Interpreter] = SimpleQueue()
    for _ in range(workers):
        free.put(Interpreter(graph, threads=1))

    def one(picture: Picture) -> np.ndarray:
        tensor = prepare(read_picture(picture.path), spec)
        interpreter = free.get()
        try:
            return interpreter.invoke(tensor)[0]
        finally:
            free.put(interpreter)

    remaining = iter(pictures)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, _BATCH)):
            yield batch, np.stack(list(pool.map(one, batch)))
