"""How sure a share is that was counted on few."""

import math

_Z = 1.959964  # of 95 %, two sides


def wilson(right: int, of: int) -> tuple[float, float]:
    """The interval of 95 % for a share (Wilson, "Probable inference, the law of succession", 1927)."""
    share = right / of
    middle = (share + _Z**2 / (2 * of)) / (1 + _Z**2 / of)
    half = _Z / (1 + _Z**2 / of) * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))  # but for rounding
