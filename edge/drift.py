"""Drift: whether the camera still sees what the model was trained on, by the likeness of its frames.

The contract says what likeness no more than each of `SHARES` of pictures fall short of. Each frame is a bet at
these odds that more of them do. What an hour wins is the mean over its frames, whatever they have to do with each other
(Vovk & Wang, "E-values: calibration, combination and applications", 2021): frames of one scene are one scene.
From hour to hour the winnings are multiplied, and never fall below the stake (Shin, Ramdas & Rinaldo, "E-detectors",
2023): while the hours are as the training photos were, a false alarm comes once in `LIMIT` of them at most, on average.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

SHARES = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5)  # of pictures that fall short of a likeness
HOUR = 3600.0  # seconds
LIMIT = 24 * 365  # hours
_MARGIN = 2.0  # twice as many strange frames as expected are no news: no camera is the one of the training photos


@dataclass(frozen=True)
class Drift:
    """What is known of it.

    Attributes:
        since: when it began, seconds since 1970; None while the camera sees what the model was trained on.
        likeness: the mean of the last hour that is over; of this one until then.
        usual: what half of the training photos reach, out of fold.
        evidence: the winnings; an alarm at `LIMIT`.
    """

    since: float | None
    likeness: float
    usual: float
    evidence: float

    def __str__(self) -> str:
        """One sentence."""
        if self.since is None:
            return "the camera sees what the model was trained on"
        return (
            "the camera sees something else than the model was trained on, "
            f"since {datetime.fromtimestamp(self.since):%d %B %H:%M}: likeness {self.likeness:.2f}, "
            f"training photos {self.usual:.2f}. A dirty lens, a moved camera, another light?"
        )


class Watch:
    """Follows the likeness of all frames. Holds an hour's sums and no more.

    Args:
        usual: the likeness that each of `SHARES` fall short of at most, rising; -1 where that is not known.
    """

    def __init__(self, usual: Sequence[float]) -> None:
        self._levels = np.asarray(usual, np.float64)
        odds = 1 / np.asarray(SHARES) / _MARGIN / len(SHARES)
        # Of a frame that falls short of the levels from here on.
        self._wins = [*np.cumsum(odds[::-1])[::-1].tolist(), 0.0]
        self._start: float | None = None
        self._frames, self._won, self._sum = 0, 0.0, 0.0
        self._evidence, self._began = 1.0, 0.0
        self._hour: float | None = None  # mean likeness of the last one
        self._alarm = False
        self._since: float | None = None

    def update(self, likeness: float, now: float) -> bool:
        """Take the likeness of a frame; whether an alarm began or ended. `now`: seconds by a clock that never jumps."""
        if self._start is None:
            self._start = now
        changed = self._end(now) if now - self._start >= HOUR else False
        self._frames += 1
        self._sum += likeness
        self._won += self._wins[int(np.searchsorted(self._levels, likeness, side="right"))]
        return changed

    def _end(self, now: float) -> bool:
        """Settle an hour."""
        won, before = self._won / self._frames, self._alarm
        if self._evidence <= 1:
            self._began = self._start or 0.0
        self._evidence = min(LIMIT, max(1.0, self._evidence * won))
        self._alarm = (before and won > 1) or self._evidence >= LIMIT
        if before and not self._alarm:
            self._evidence, self._since = 1.0, None
        self._hour = self._sum / self._frames
        self._frames, self._won, self._sum, self._start = 0, 0.0, 0.0, now
        return self._alarm != before

    def state(self, now: float, clock: float) -> Drift | None:
        """As of now; None before the first frame. `clock`: what the time `now` is in seconds since 1970."""
        mean = self._sum / self._frames if self._frames else None
        likeness = mean if self._hour is None else self._hour
        if likeness is None:
            return None
        if self._alarm and self._since is None:  # once: a clock that is set later moves nothing
            self._since = clock - (now - self._began)
        return Drift(self._since, likeness, float(self._levels[-1]), self._evidence)
