"""A thread and a bounded queue before a sink, so that a slow or dead one never slows the frames."""

import queue
import sys
import threading
from contextlib import suppress
from dataclasses import replace

import numpy as np

from edge.sinks.base import Ended, Moment, Sink
from edge.sources.base import Signal

WAITING = 32 << 20  # bytes of pictures that may wait for a sink: of a camera of 12 megapixels, one
_NO_PICTURE = np.empty((0, 0, 3), np.uint8)


class Queued(Sink):
    """Hands moments on to a sink in a thread of its own.

    When the queue is full, a live run loses the moment for this sink alone and counts it; a run through files waits,
    for it should give every frame. An error of the sink loses the moment too, and is told once until it works again.

    Attributes:
        lost: moments that the sink did not take.
    """

    PATIENCE = 5.0  # seconds that the sink gets at the end for what still waits

    def __init__(self, name: str, sink: Sink, wait: bool) -> None:
        self.name, self.lost = name, 0
        self._sink, self._wait = sink, wait
        self._ticks = type(sink).tick is not Sink.tick
        self._queue: queue.Queue[Moment | Signal | None] = queue.Queue(sink.depth)
        self._ended = False
        self._failing = False
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def write(self, moment: Moment) -> None:
        if self._ended:
            raise Ended
        if self._sink.events_only and moment.event is None:
            return
        if not self._sink.pictures:  # else those that wait would hold hundreds of megabytes for nothing
            moment = replace(moment, frame=replace(moment.frame, image=_NO_PICTURE))
        else:
            self._queue.maxsize = max(1, min(self._sink.depth, WAITING // max(1, moment.frame.image.nbytes)))
        try:
            self._queue.put(moment, block=self._wait)
        except queue.Full:
            self.lost += 1

    def tick(self, signal: Signal) -> None:
        if self._ticks:
            with suppress(queue.Full):  # the next one is a second away
                self._queue.put_nowait(signal)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            counts = isinstance(item, Moment)
            if self._ended or self._hurry.is_set():
                self.lost += counts
                continue
            try:
                if isinstance(item, Moment):
                    self._sink.write(item)
                    self._failing = False
                else:
                    self._sink.tick(item)
            except Ended:
                self._ended = True
            except Exception as error:  # whatever a sink does wrong, the frames go on
                self.lost += counts
                if not self._failing:
                    print(f"{self.name}: {str(error) or type(error).__name__}", file=sys.stderr, flush=True)
                self._failing = True
        try:
            self._sink.close()
        except Exception as error:
            print(f"{self.name}: {str(error) or type(error).__name__}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Let the sink take what waits, for a limited time, and close it."""
        timer = threading.Timer(self.PATIENCE, self._hurry.set)
        timer.daemon = True
        timer.start()
        try:
            self._queue.put(None, timeout=2 * self.PATIENCE)
            self._thread.join(2 * self.PATIENCE)
        except queue.Full:
            self.lost += self._queue.qsize()
        timer.cancel()
