"""What a file keeps of its training pictures so that its labels can be taught on: features of all depths, and labels.

The vectors of the last depth are those of the bank (`edge.model.likeness`). Each depth of each vector has a scale of
its own.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np

from edge.model.contract import BANK_FILE, KEPT_FILE, ModelSpec
from edge.model.likeness import SIZE, pack, to_bytes

_BYTES = 256 << 10  # of the bank


def most(width: int) -> int:
    """How many vectors of the last depth, of `width` features, a file may keep; of the others, as many."""
    return max(1, min(SIZE, _BYTES // width))


def keep(features: np.ndarray, labels: np.ndarray, widths: Sequence[int]) -> dict[str, bytes]:
    """The files that hold the bank, and what else is kept.

    Args:
        features: of all depths, the last one last, float (vectors, features).
        labels: int (vectors,).
        widths: how many features each depth has.
    """
    depths = np.split(features, np.cumsum(widths)[:-1], axis=1)
    scales = np.stack([np.abs(depth).max(axis=1) / 127 for depth in depths], axis=1)
    packed = [pack(depth) for depth in depths]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        labels=labels.astype(np.uint16),
        scales=scales.astype(np.float32),
        widths=np.array(widths, np.uint16),
        others=np.concatenate([*packed[:-1], np.empty((len(labels), 0), np.int8)], axis=1),
    )
    return {BANK_FILE: to_bytes(packed[-1]), KEPT_FILE: buffer.getvalue()}


def kept(files: Mapping[str, bytes], spec: ModelSpec) -> tuple[np.ndarray, np.ndarray] | None:
    """What `keep` put there: features, float32 (vectors, features), and labels, int64 (vectors,); None if nothing.

    Raises:
        ValueError: if it does not fit together.
    """
    if KEPT_FILE not in files or BANK_FILE not in files:
        return None
    try:
        with np.load(io.BytesIO(files[KEPT_FILE]), allow_pickle=False) as found:
            labels, scales, widths, others = (found[name] for name in ("labels", "scales", "widths", "others"))
        packed = np.concatenate([others, np.load(io.BytesIO(files[BANK_FILE]), allow_pickle=False)], axis=1)
    except Exception as error:  # zipfile and numpy raise many kinds
        raise ValueError(f"{KEPT_FILE} is damaged: {error}") from error
    fits = (
        packed.dtype == np.int8
        and labels.shape == (len(packed),)
        and scales.shape == (len(packed), len(spec.features)) == (len(packed), len(widths))
        and int(widths.sum()) == packed.shape[1]
        and np.isfinite(scales).all()
        and (labels < len(spec.labels)).all()
    )
    if not fits:
        raise ValueError(f"{KEPT_FILE} is damaged: its vectors, labels and depths do not fit together")
    return packed * np.repeat(scales.astype(np.float32), widths.astype(int), axis=1), labels.astype(np.int64)
