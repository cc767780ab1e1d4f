"""The loop: frames in, results out to the sinks, until the source or the user ends it."""

import signal
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

import numpy as np

from edge.drift import Watch
from edge.model.classifier import UNLIKE, Classifier
from edge.sinks.base import Ended, Moment, Sink
from edge.smoothing import Stable
from edge.sources.base import Source
from edge.text import one_line

_WINDOW = 30  # frames over which the rate is told; no memory grows with the number of frames
_TICK = 0.9  # seconds between two ticks of the sinks; a source without a frame says so once a second
HYSTERESIS = 0.1  # how much better a new label must be than the one that stands


def run(
    classifier: Classifier,
    source: Source,
    sinks: Sequence[Sink],
    *,
    view: Callable[[np.ndarray], np.ndarray] | None = None,
    smooth: Callable[[np.ndarray], np.ndarray] | None = None,
    hysteresis: float = HYSTERESIS,
) -> dict[str, float]:
    """Classify every frame that the source gives and hand it to every sink. Closes source and sinks in any case.

    Args:
        view: what is done to a frame before the model and the viewers see it, see `edge.sources.view`.
        smooth: what is done to the scores over time, see `edge.smoothing`.
        hysteresis: how much better, 0 to 1, a new label must be than the one that stands.

    Returns:
        "frames", "seconds", "fps", "dropped", "lost" (moments that sinks did not take), and the median milliseconds of
        the last frames by stage.
    """
    started = time.perf_counter()
    ends: deque[float] = deque(maxlen=_WINDOW)
    recent: deque[dict[str, float]] = deque(maxlen=_WINDOW)
    stable = Stable(classifier.spec.labels, classifier.threshold, hysteresis)
    watch = Watch(classifier.spec.usual) if classifier.spec.usual else None
    frames, ticked = 0, started
    try:
        with termination():
            for frame in source:
                if time.perf_counter() - ticked > _TICK:
                    ticked, state = time.perf_counter(), source.signal()
                    if watch:
                        state = replace(state, drift=watch.state(time.monotonic(), time.time()))
                    for sink in sinks:
                        sink.tick(state)
                if frame is None:
                    continue
                if view is not None:
                    frame = replace(frame, image=view(frame.image))
                result = classifier.classify(frame.image, smooth)
                ends.append(time.perf_counter())
                recent.append(result.ms)
                frames += 1
                spent = ends[-1] - (ends[0] if len(ends) > 1 else started)
                fps = max(1, len(ends) - 1) / max(spent, 1e-9)
                if watch and result.likeness is not None and watch.update(result.likeness, time.monotonic()):
                    print(watch.state(time.monotonic(), time.time()), file=sys.stderr, flush=True)
                event = stable.update(result.scores, result.why == UNLIKE)
                lost = sum(sink.lost for sink in sinks)
                own = stable.score(result.scores)
                moment = Moment(frame, result, stable.label, event, fps, source.dropped, lost, time.time(), own)
                for sink in sinks:
                    sink.write(moment)
    except (KeyboardInterrupt, Ended):
        pass  # the usual ways to end a live run
    finally:
        seconds = time.perf_counter() - started
        source.close()
        for sink in sinks:
            sink.close()
    stages = {stage: statistics.median(ms[stage] for ms in recent) for stage in (recent[-1] if recent else ())}
    return {
        "frames": frames,
        "seconds": seconds,
        "fps": frames / seconds,
        "dropped": source.dropped,
        "lost": sum(sink.lost for sink in sinks),
        **stages,
    }


@contextmanager
def termination() -> Iterator[None]:
    """SIGTERM, by which a service is stopped, ends the loop just as Ctrl-C does."""

    def stop(number: int, stack: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def tell(summary: dict[str, float], skipped: Sequence[str]) -> None:
    """The closing summary, on standard error."""
    stages = ", ".join(f"{name} {summary[name]:.1f}" for name in ("preprocess", "invoke", "total") if name in summary)
    for line in skipped[:10]:
        print(one_line(f"skipped {line}"), file=sys.stderr)
    lost = f", {summary['lost']:.0f} lost by sinks" if summary["lost"] else ""
    print(
        f"{summary['frames']:.0f} frames in {summary['seconds']:.1f} s ({summary['fps']:.1f} frames/s), "
        f"{summary['dropped']:.0f} dropped, {len(skipped)} unreadable{lost}; median ms: {stages or 'none'}",
        file=sys.stderr,
    )
