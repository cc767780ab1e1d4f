"""The loop: frames in, results out to the sinks, until the source or the user ends it."""

import signal
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from edge.classifier import Classifier
from edge.sinks import Sink
from edge.sources import Source

_WINDOW = 30  # frames over which the rate is told; no memory grows with the number of frames


def run(classifier: Classifier, source: Source, sinks: Sequence[Sink]) -> dict[str, float]:
    """Classify every frame that the source gives and hand it to every sink. Closes source and sinks in any case.

    Returns:
        "frames", "seconds", "fps", "dropped", and the median milliseconds of the last frames by stage.
    """
    started = time.perf_counter()
    ends: deque[float] = deque(maxlen=_WINDOW)
    recent: deque[dict[str, float]] = deque(maxlen=_WINDOW)
    frames = 0
    try:
        with _termination():
            for frame in source:
                result = classifier.classify(frame.image)
                ends.append(time.perf_counter())
                recent.append(result.ms)
                frames += 1
                spent = ends[-1] - (ends[0] if len(ends) > 1 else started)
                fps = max(1, len(ends) - 1) / max(spent, 1e-9)
                for sink in sinks:
                    sink.write(frame, result, fps)
    except KeyboardInterrupt:
        pass  # the usual way to end a live run
    finally:
        for closing in (source, *sinks):
            closing.close()
    seconds = time.perf_counter() - started
    stages = {stage: statistics.median(ms[stage] for ms in recent) for stage in (recent[-1] if recent else ())}
    return {
        "frames": frames,
        "seconds": seconds,
        "fps": frames / seconds,
        "dropped": source.dropped,
        **stages,
    }


@contextmanager
def _termination() -> Iterator[None]:
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
        print(f"skipped {line}", file=sys.stderr)
    print(
        f"{summary['frames']:.0f} frames in {summary['seconds']:.1f} s ({summary['fps']:.1f} frames/s), "
        f"{summary['dropped']:.0f} dropped, {len(skipped)} unreadable; median ms: {stages or 'none'}",
        file=sys.stderr,
    )
