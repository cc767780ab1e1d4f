"""From scores that flicker to a label that stands: smoothing over frames, and events when the stable label changes."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge.errors import UserError
from edge.model.classifier import UNKNOWN


def exponential(weight: float) -> Callable[[np.ndarray], np.ndarray]:
    """A function that takes each frame's scores, float32 (labels,), and gives their running mean.

    The newest frame counts `weight`, 0 to 1. It starts from the first frame: a start from zeros would call the first
    seconds uncertain.
    """
    mean: np.ndarray | None = None

    def smooth(scores: np.ndarray) -> np.ndarray:
        nonlocal mean
        mean = scores if mean is None else mean + np.float32(weight) * (scores - mean)
        return mean

    return smooth


def votes(needed: int, frames: int) -> Callable[[np.ndarray], np.ndarray]:
    """The same by votes: a label that was the best one in `needed` of the last `frames` keeps the mean score of those.

    Without such a label all scores are scaled below the even chance of one label, so that the answer is unknown under
    any threshold above that.
    """
    last: deque[np.ndarray] = deque(maxlen=frames)

    def smooth(scores: np.ndarray) -> np.ndarray:
        last.append(scores)
        winner, count = Counter(int(each.argmax()) for each in last).most_common(1)[0]
        mean = np.mean([each for each in last if each.argmax() == winner], axis=0)
        return mean if count >= min(needed, len(last)) else mean / len(mean)

    return smooth


def parse_smoothing(text: str) -> Callable[[np.ndarray], np.ndarray] | None:
    """`--smooth`: "none", a weight of the newest frame such as "0.3", or votes such as "3/5".

    Raises:
        UserError: for anything else.
    """
    if text == "none":
        return None
    try:
        if "/" in text:
            needed, frames = map(int, text.split("/"))
            if 1 <= needed <= frames <= 1000:
                return votes(needed, frames)
        elif 0 < float(text) <= 1:
            return exponential(float(text))
    except ValueError:
        pass
    raise UserError(f"--smooth: expected none, a weight above 0 up to 1, or votes as 3/5, found {text!r}")


@dataclass(frozen=True)
class Event:
    """The stable label changed: from what, "" at the start, to what, and with what score."""

    previous: str
    label: str
    score: float


class Stable:
    """Follows the label and holds on to it until another one is clearly better.

    Args:
        threshold: what a score must reach to count; below it the answer is unknown.
        hysteresis: how much more a change takes: a new label must lead the old one by so much, and the old one gives
            way to unknown only when it has fallen so far below the threshold.
    """

    def __init__(self, labels: tuple[str, ...], threshold: float, hysteresis: float) -> None:
        self.labels, self.threshold, self.hysteresis = labels, threshold, hysteresis
        self.label = ""
        self._unlike: deque[bool] = deque(maxlen=3)
        self._place: int | None = None  # of the stable label; a name would not tell a class "unknown" from no answer

    def update(self, scores: np.ndarray, unlike: bool = False) -> Event | None:
        """Take the scores of one frame, float32 (labels,); an event if the stable label changed.

        `unlike`: the frame is nothing like the training pictures. It takes most of the last three such frames to give
        a label up: single ones are expected, as some right answers are refused too.
        """
        best = int(scores.argmax())
        top = float(scores[best])
        self._unlike.append(unlike)
        strange = 2 * sum(self._unlike) > len(self._unlike)
        place = best if top >= self.threshold and not strange else None
        if self._place is not None and place != self._place and not strange:
            own = float(scores[self._place])
            stays = own >= self.threshold - self.hysteresis if place is None else top < own + self.hysteresis
            if stays:
                return None
        self._place = place
        label = UNKNOWN if place is None else self.labels[place]
        if label == self.label:
            return None
        event = Event(self.label, label, top)
        self.label = label
        return event

    def score(self, scores: np.ndarray) -> float | None:
        """That of the stable label among those of a frame, float32 (labels,); None if it is unknown."""
        return None if self._place is None else float(scores[self._place])
