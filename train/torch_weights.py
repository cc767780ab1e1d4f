"""Reads a legacy PyTorch `.pth` checkpoint with neither PyTorch nor trust.

The format: four pickles (a magic number, a version, the byte order, the state dict), one pickle with the keys of
the storages in the order of the file, then each storage as a 64-bit count and its raw values.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edge.errors import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows the few names of a checkpoint and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not a name of a checkpoint")

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        _, dtype, key, *_ = pid
        return key, dtype


def _tensor(storage: tuple[str, np.dtype], offset: int, shape: tuple, stride: tuple, *_: Any) -> tuple:
    return storage, offset, shape, stride


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """Name to array (float32 or int64, in PyTorch's axis order) for each tensor of a legacy `.pth` file.

    Raises:
        UserError: if the file is missing or not such a checkpoint.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if _Unpickler(file).load() != _MAGIC:
                raise ValueError("its first number is not that of a legacy checkpoint")
            _version, _system, state, keys = (_Unpickler(file).load() for _ in range(4))
            dtypes = dict(storage for storage, *_ in state.values())
            storages = {key: _storage(file, dtypes[key]) for key in keys}
        return {name: _array(storages, *entry) for name, entry in state.items()}
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
    ) as error:
        raise UserError(f"{path}: expected a legacy PyTorch checkpoint: {error}") from error


def _storage(file: BinaryIO, dtype: np.dtype) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    values = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    if len(values) != count:
        raise ValueError(f"expected {count} values, found {len(values)}")
    return values


def _array(storages: dict[str, np.ndarray], storage: tuple, offset: int, shape: tuple, stride: tuple) -> np.ndarray:
    values = storages[storage[0]]
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
    if offset < 0 or min((*shape, *stride, 1)) < 0 or last >= len(values):
        raise ValueError(f"a tensor of shape {tuple(shape)} lies outside of its storage")
    steps = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], shape, steps).copy()
