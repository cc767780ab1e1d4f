"""Means and stds in units of pixels from 0 to 255: those of pixels from 0 to 1 are recognized."""

import math
from collections.abc import Sequence


def pixel_units(
    mean: Sequence[float], std: Sequence[float], notes: list[str]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and std, one number or three each, in units of pixels from 0 to 255.

    Those of pixels from 0 to 1, as PyTorch has them, are told by a std below 1 or a mean between 0 and 1, and taken
    times 255, with a note.

    Raises:
        ValueError: if they are in different units, or no mean and std.
    """
    means, stds = _three(mean, "mean"), _three(std, "std")
    if min(stds) <= 0:
        raise ValueError(f"std: expected numbers above 0, found {_short(stds)}")
    if max(stds) < 0.02:
        raise ValueError(f"std: {_short(stds)} looks like a factor: give what pixels are divided by, as 255 for 0 to 1")
    fractions = min(stds) < 1 or any(0 < each < 1 for each in means)
    if not fractions:
        return means, stds
    if max(map(abs, means)) > 1 or max(stds) > 1:
        raise ValueError(
            f"mean {_short(means)} and std {_short(stds)} are in different units: give both in pixel units, "
            "from 0 to 255 (mean 127.5 and std 127.5 for -1 to 1)"
        )
    means, stds = _three([each * 255 for each in means], "mean"), _three([each * 255 for each in stds], "std")
    notes.append(f"mean and std are of pixels from 0 to 1: in pixel units {_short(means)} and {_short(stds)}")
    return means, stds


def _short(values: Sequence[float]) -> str:
    return ",".join(f"{value:.6g}" for value in (values[:1] if len(set(values)) == 1 else values))


def _three(given: Sequence[float], what: str) -> tuple[float, float, float]:
    values = list(given) * 3 if len(given) == 1 else list(given)
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise ValueError(f"{what}: expected one number or three, found {values}")
    return values[0], values[1], values[2]
