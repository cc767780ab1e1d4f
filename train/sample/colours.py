"""Colours are BGR, 0..255: those of cloth, and any colour slightly off."""

from collections.abc import Sequence

import numpy as np

from train.sample.chance import Rng
from train.sample.space import Array

# fmt: off
CLOTH = [(38, 36, 38), (70, 66, 64), (150, 148, 146), (228, 230, 232), (110, 64, 40), (150, 96, 60), (40, 40, 150),
         (60, 110, 50), (92, 156, 206), (36, 58, 104), (120, 60, 120), (150, 130, 40), (60, 130, 220), (160, 150, 220),
         (104, 142, 172)]
# fmt: on


def tint(rng: Rng, colour: Sequence[float] | Array, spread: float = 12) -> Array:
    """The colour, somewhat lighter or darker and slightly off."""
    return np.clip(np.array(colour) + rng.normal(0, spread) + rng.normal(0, spread / 4, 3), 6, 250).astype(np.float32)
