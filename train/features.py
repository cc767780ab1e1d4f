"""What a frozen backbone says of each picture: computed once, on all cores, and kept on disk.

A frozen backbone gives the same features in every epoch and every run. They are kept by content: the folder is named
after the extractor (weights and preprocessing), the row after the SHA-256 of the picture. So a changed picture is a
new one, and a picture that moved is known.
"""

import hashlib
import mmap
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from edge.errors import UserError
from edge.model.contract import ModelSpec
from edge.model.interpreter import Interpreter
from edge.model.preprocess import prepare
from train.cache import cache_folder, locked
from train.dataset import Picture
from train.keras import converted, keras, layers, tf
from train.progress import progress
from train.workers import workers

_KEY_BYTES = 32 + 4  # the picture's SHA-256 and the CRC-32 of its row
_BATCH = 64
_KERAS_BATCH = 32  # the maps of a whole batch are in memory; larger ones are hardly faster
_WIDE = 8192  # features from here on are kept in half precision


Batches = Iterator[tuple[list[Picture], np.ndarray]]  # pictures with their features, float32 (pictures, features)


@dataclass(frozen=True)
class Engine:
    """What turns pictures into features: a float backbone in Keras, or a graph of another kind.

    Attributes:
        key: names its folder in the cache; another one for all that makes other features.
        parts: the columns of each depth.
        compute: pictures to batches of them with their features, as they become ready.
    """

    key: str
    parts: tuple[slice, ...]
    compute: Callable[[list[Picture]], Batches]

    @property
    def width(self) -> int:
        return self.parts[-1].stop


@dataclass(frozen=True)
class Features:
    """Rows of features on disk: picture number i has `matrix[rows[i]]`.

    Attributes:
        matrix: float32 or float16 of shape (any, features), memory-mapped.
        rows: int64 of shape (pictures,).
        computed: how many pictures were new.
        parts: the columns of each depth of the backbone, the top last.
    """

    matrix: np.ndarray
    rows: np.ndarray
    computed: int = 0
    parts: tuple[slice, ...] = ()

    def __getitem__(self, index: np.ndarray | slice) -> np.ndarray:
        """Features of the pictures at `index`, float32 (pictures, features)."""
        return np.asarray(self.matrix[self.rows[index]], np.float32)

    def of_part(self, number: int) -> "Features":
        """Those of one depth alone."""
        return Features(self.matrix[:, self.parts[number]], self.rows, self.computed)


def extract(engine: Engine, pictures: Sequence[Picture], cache: Path | None = None) -> Features:
    """The features of `pictures`, from the cache where it has them, else computed and added to it.

    Several processes may do this at once with one cache, each with pictures of its own.

    Args:
        pictures: what to extract; equal pictures share a row.
        cache: folder of the cache; `cache_folder()` by default.
    """
    folder = (cache or cache_folder()) / "features" / engine.key
    store = _Store(folder, engine.width)
    known = store.read()
    for digest in store.damaged(known, {picture.digest for picture in pictures}):
        del known[digest]
    missing = list({picture.digest: picture for picture in pictures if picture.digest not in known}.values())
    missing = [picture for picture in missing if workers().mine(picture.digest)]
    if missing:
        with progress("features", len(missing)) as bar:
            for batch, values in engine.compute(missing):
                store.append([picture.digest for picture in batch], values)
                bar.update(len(batch))
    workers().wait()
    if missing or workers().count > 1:
        known = store.read()
    if any(picture.digest not in known for picture in pictures):
        raise UserError(f"{folder}: expected a cache that all workers share (FROSTLITE_CACHE), found one of this alone")
    index = np.array([known[picture.digest] for picture in pictures], np.int64)
    return Features(store.matrix(), index, len(missing), engine.parts)


def keras_engine(extractor: keras.Model, spec: ModelSpec, parts: Sequence[slice] = ()) -> Engine:
    """A float backbone, by TensorFlow or by TFLite, whichever is faster for it.

    Args:
        extractor: (any, height, width, 3) RGB floats, normalized as `spec` says, to (any, features).
        spec: how a picture becomes a tensor.
        parts: the columns of each depth; by default there is one.
    """
    digest = hashlib.sha256(repr((extractor.to_json(), spec.size, spec.resize, spec.mean, spec.std)).encode())
    for weight in extractor.get_weights():
        digest.update(weight.tobytes())
    depthwise = any(isinstance(layer, layers.DepthwiseConv2D) for layer in extractor.layers)
    compute = _in_lite if depthwise else _in_keras
    columns = tuple(parts) or (slice(0, int(extractor.output_shape[-1])),)
    return Engine(digest.hexdigest()[:32], columns, lambda pictures: compute(extractor, spec, pictures))


class _Store:
    """The two files of a cache folder: `rows` of features, and `keys` that say whose they are.

    The rows are written first, then the keys: a row without a key is dead weight, a key without its row would be a
    lie. Whoever was killed in between leaves dead weight, which the next writer cuts off.
    """

    def __init__(self, folder: Path, width: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.width = folder, width
        # A flattened map is a hundred times as large as a pooled one: half precision, which keeps 3 digits, halves it.
        self.dtype = np.dtype(np.float32 if width <= _WIDE else np.float16)
        for name in ("keys", "rows"):
            (folder / name).touch()

    def read(self) -> dict[str, int]:
        """Digest to row number, the last one of each, where both are whole; half a row at the end is cut off."""
        with locked(self.folder / "lock"):
            self._keys = (self.folder / "keys").read_bytes()
            count = min(len(self._keys) // _KEY_BYTES, len(self.matrix()))
            self._cut(count)
        starts = range(0, count * _KEY_BYTES, _KEY_BYTES)
        return {self._keys[at : at + 32].hex(): number for number, at in enumerate(starts)}

    def damaged(self, known: dict[str, int], digests: set[str]) -> set[str]:
        """Those of the digests whose rows are not what was written; the rows of other pictures are not looked at."""
        matrix, found = self.matrix(), set()
        for count, digest in enumerate(digests & known.keys()):
            end = (known[digest] + 1) * _KEY_BYTES
            if self._keys[end - 4 : end] != _crc(matrix[known[digest]]):
                found.add(digest)
            if count % _BATCH == 0:
                let_go(matrix)
        return found

    def append(self, digests: list[str], values: np.ndarray) -> None:
        """Add rows, float32 (pictures, features)."""
        limit = float(np.finfo(self.dtype.name).max)
        values = np.clip(values, -limit, limit).astype(self.dtype)
        with locked(self.folder / "lock"):
            count = (self.folder / "keys").stat().st_size // _KEY_BYTES
            self._cut(count)
            with (self.folder / "rows").open("ab") as rows:
                rows.write(values.tobytes())
            keys = [bytes.fromhex(digest) + _crc(row) for digest, row in zip(digests, values, strict=True)]
            with (self.folder / "keys").open("ab") as file:
                file.write(b"".join(keys))

    def matrix(self) -> np.ndarray:
        """All rows, memory-mapped: (rows, features)."""
        count = (self.folder / "rows").stat().st_size // (self.dtype.itemsize * self.width)
        if not count:
            return np.empty((0, self.width), self.dtype)
        return np.memmap(self.folder / "rows", self.dtype, "r", shape=(count, self.width))

    def _cut(self, count: int) -> None:
        for name, size in (("keys", _KEY_BYTES), ("rows", self.dtype.itemsize * self.width)):
            if (self.folder / name).stat().st_size > count * size:
                os.truncate(self.folder / name, count * size)


def let_go(matrix: np.ndarray) -> None:
    """Pages of a mapped file that were read stay with the system, but no longer count as this process's memory."""
    if isinstance(matrix.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        matrix.base.madvise(mmap.MADV_DONTNEED)


def _crc(row: np.ndarray) -> bytes:
    return zlib.crc32(row.tobytes()).to_bytes(4, "little")


def on_all_cores(
    make: Callable[[], Callable[[np.ndarray], np.ndarray]], spec: ModelSpec, pictures: list[Picture]
) -> Batches:
    """Features by functions that take one tensor each, and are not to be shared: one a core, each used by one thread.

    Args:
        make: makes such a function, of a float32 tensor (1, height, width, 3) to features (features,).
    """
    cores = os.cpu_count() or 1
    free: SimpleQueue[Callable[[np.ndarray], np.ndarray]] = SimpleQueue()
    for _ in range(cores):
        free.put(make())

    def one(picture: Picture) -> np.ndarray:
        tensor = prepare(picture.frame(spec), spec)
        run = free.get()
        try:
            return run(tensor)
        finally:
            free.put(run)

    remaining = iter(pictures)
    with ThreadPoolExecutor(cores) as pool:
        while batch := list(islice(remaining, _BATCH)):
            yield batch, np.stack(list(pool.map(one, batch)))


def _in_lite(extractor: keras.Model, spec: ModelSpec, pictures: list[Picture]) -> Batches:
    """For depthwise convolutions, which TFLite runs in half to a quarter of the time that TensorFlow takes.

    One interpreter a core: faster than one with all the threads.
    """
    graph = converted(extractor)

    def make() -> Callable[[np.ndarray], np.ndarray]:
        interpreter = Interpreter(graph, threads=1)
        return lambda tensor: interpreter.invoke(tensor)[0]

    yield from on_all_cores(make, spec, pictures)


def _in_keras(extractor: keras.Model, spec: ModelSpec, pictures: list[Picture]) -> Batches:
    """For plain convolutions, which TensorFlow runs up to twice as fast as TFLite, and without the conversion of a
    large backbone, which takes up to a quarter of a minute.
    """
    signature = [tf.TensorSpec((None, *extractor.input_shape[1:]), tf.float32)]
    run = tf.function(lambda tensors: extractor(tensors, training=False), input_signature=signature)
    remaining = iter(pictures)
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def decode() -> tuple[list[Picture], list[Future[np.ndarray]]]:
            batch = list(islice(remaining, _KERAS_BATCH))
            return batch, [pool.submit(lambda picture: prepare(picture.frame(spec), spec), each) for each in batch]

        batch, decoding = decode()
        while batch:
            tensors = np.concatenate([each.result() for each in decoding])
            following = decode()  # while the backbone runs
            yield batch, run(tensors).numpy()
            batch, decoding = following
