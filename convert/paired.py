"""The exact test of a drop that was measured on pictures which both models saw, its interval, and its power.

`lost` pictures only the first model has right, `won` ones only the second. The statistic is that of Tango (1998), the
score test of the difference of two paired proportions. Its level is not taken from the normal distribution but summed
up from the trinomial one, at the worst rate of won pictures that fits the drop (Chan & Zhang 1999): so it holds for
any number of pictures and however few of them change. The region of the test is closed in the sense of Barnard
(Sidik 2003), so the drop of the null hypothesis is the worst of all drops beyond it.
"""

import math
from functools import lru_cache

import numpy as np
from scipy.special import bdtr, gammaln

_RATES = 30  # rates of won pictures next to none, and next to as many as there can be: the worst of all counts
_MANY = 2500.0  # won pictures; where there are more, the normal distribution holds
_TINY = 1e-9


def p_below(lost: int, won: int, pictures: int, drop: float) -> float:
    """The p-value of "the true drop is `drop` or more": small where it is plain that it is less.

    Args:
        drop: a fraction, -1 to 1. For "the true drop is `drop` or less" swap `lost` and `won`, and take `-drop`.
    """
    return _size(float(_score(lost, won, pictures, drop)) + _TINY, pictures, drop)


def interval(lost: int, won: int, pictures: int, alpha: float) -> tuple[float, float]:
    """The drops, as fractions, that neither one-sided test at `alpha` rules out."""
    middle = (lost - won) / pictures

    def end(first: int, second: int, start: float) -> float:
        low, high = start, 1.0
        while high - low > 1e-5:
            half = (low + high) / 2
            low, high = (half, high) if p_below(first, second, pictures, half) > alpha else (low, half)
        return high

    return -end(won, lost, -middle), end(lost, won, middle)


def ruled_out(lost: np.ndarray, won: np.ndarray, pictures: int, drop: float, alpha: float) -> np.ndarray:
    """For many outcomes at once whether `p_below` is at most `alpha`: bool of the same shape."""
    return _score(lost, won, pictures, drop) <= _critical(pictures, drop, alpha)


def simulated(pictures: int, drop: float, won: float, alpha: float, schemes: int = 1, draws: int = 20_000) -> float:
    """How often any of `schemes` passes whose true drop is `drop`: counted in drawn outcomes, with a fixed seed.

    Args:
        won: the true rate of won pictures; that of lost ones is `won + drop`.
        alpha: of all schemes together.
    """
    outcomes = np.random.default_rng(0).multinomial(pictures, [won + drop, won, 1 - drop - 2 * won], (draws, schemes))
    passed = ruled_out(outcomes[..., 0], outcomes[..., 1], pictures, drop, alpha / schemes)
    return float(passed.any(axis=1).mean())


def chance_of_decision(lost: float, won: float, pictures: int, drop: float, alpha: float) -> float:
    """How likely one of the two tests at `alpha` decides about `drop`, if the true rates are `lost` and `won`."""
    below = _chance(_critical(pictures, drop, alpha), pictures, drop, lost, won)
    above = _chance(_critical(pictures, -drop, alpha), pictures, -drop, won, lost)
    return below + above


def _score(lost: np.ndarray | float, won: np.ndarray | float, pictures: int, drop: float) -> np.ndarray:
    """How many standard errors the measured drop lies above `drop`, where `drop` is true (Tango 1998)."""
    a = 2 * pictures
    b = (2 * pictures - lost + won) * drop - lost - won
    c = -won * drop * (1 - drop)
    rate = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / (2 * a)  # of won pictures, by maximum likelihood
    variance = pictures * np.maximum(2 * rate + drop * (1 - drop), 1e-300)
    return (lost - won - pictures * drop) / np.sqrt(variance)


def _most_lost(score: float, pictures: int, drop: float, won: np.ndarray) -> np.ndarray:
    """For each number of won pictures the largest number of lost ones whose score is no more; -1: not even none."""
    low, high = np.full(won.shape, -1.0), pictures - won + 1.0
    for _ in range(math.ceil(math.log2(pictures + 2)) + 1):
        middle = np.floor((low + high) / 2)
        inside = (middle > low) & (_score(np.maximum(middle, 0), won, pictures, drop) <= score)
        low, high = np.where(inside, middle, low), np.where(inside | (middle <= low), high, middle)
    return low


def _size(score: float, pictures: int, drop: float) -> float:
    """The largest probability of a score that is no more, over all rates of change with this drop."""
    most = min(_MANY / pictures, (1 - abs(drop)) / 2)
    some = np.geomspace(min(0.05 / pictures, most / 2), most / 2, _RATES) if most > 0 else np.zeros(0)
    won = np.concatenate([[0.0], some, most - some[::-1]]) + max(0.0, -drop)
    return float(_chances(score, pictures, drop, won + drop, won).max())


def _chance(score: float, pictures: int, drop: float, lost: float, won: float) -> float:
    return float(_chances(score, pictures, drop, np.array([lost]), np.array([won]))[0])


def _chances(score: float, pictures: int, drop: float, lost: np.ndarray, won: np.ndarray) -> np.ndarray:
    """The probability of a score that is no more, for each pair of true rates: sums over the trinomial distribution."""
    spread = 7 * np.sqrt(pictures * won) + 12
    first = np.maximum(0, np.floor(pictures * won - spread)).astype(int)
    last = np.minimum(pictures, np.ceil(pictures * won + spread)).astype(int)
    most = _most_lost(score, pictures, drop, np.arange(last.max() + 1.0))
    sizes = last - first + 1
    which = np.repeat(np.arange(len(won)), sizes)
    count = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) + first[which]
    rate, rest = won[which], pictures - count
    with np.errstate(divide="ignore", invalid="ignore"):
        log = gammaln(pictures + 1) - gammaln(count + 1) - gammaln(rest + 1)
        log += np.where(count > 0, count * np.log(rate), 0) + np.where(rest > 0, rest * np.log1p(-rate), 0)
        share = np.clip(lost[which] / (1 - rate), 0, 1)
    kept = most[count] >= 0
    below = np.where(kept, bdtr(np.clip(most[count], 0, rest), rest, np.nan_to_num(share)), 0.0)
    return np.bincount(which, np.exp(log) * below, len(won))


@lru_cache(4096)
def _critical(pictures: int, drop: float, alpha: float) -> float:
    """The largest score that rules `drop` out at `alpha`."""
    low, high = -8.0, 0.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if _size(middle, pictures, drop) <= alpha else (low, middle)
    return low
