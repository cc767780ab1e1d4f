"""What is live: one thread that reads and reopens, whatever gives the frames.

A grabber opens in its constructor (`Away` if there is no such camera now), has `mode` (what it gave of what was
asked), `grab` (wait for the next frame; False if it failed; must not block for ever), `retrieve` (that frame, BGR uint8
(height, width, 3), or None) and `close`. Two steps, for what nobody wants need not be decoded.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from edge.errors import UserError
from edge.sources.base import Away, Frame, Mode, Signal, Source, shown

SILENCE = 5.0  # seconds without a frame after which a camera counts as lost
HUNG = 60.0  # seconds for one call: longer than any network name takes that nobody answers for
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0  # seconds between attempts to reopen; doubled each time
_TICK = 1.0  # seconds after which the loop hears that there is no frame


class Grabber(Protocol):
    mode: Mode

    def grab(self) -> bool: ...

    def retrieve(self) -> np.ndarray | None: ...

    def close(self) -> None: ...


class EndOfSource(Exception):
    """A live source that is over, not lost: the writer of a pipe went away."""


class Live(Source):
    """A live source: a thread reads all the time and keeps only the newest frame, for drivers queue old ones.

    Of more than `mode.fps` frames a second the others are not decoded. A source that fails or goes silent is opened
    again, for ever, with a pause that grows until a frame comes: some that are broken still open.

    Args:
        open_grabber: gives a `Grabber` for `text` and `mode`.
        wait: a camera that is not there at the start is waited for; else that is an error.
    """

    live = True

    def __init__(
        self,
        open_grabber: Callable[[str, Mode], Grabber],
        text: str,
        mode: Mode,
        tell: Callable[[str], None] | None = None,
        wait: bool = False,
    ) -> None:
        super().__init__("standard input" if text == "-" else shown(text))
        self._open = lambda: open_grabber(text, mode)
        self._period = 1 / mode.fps if mode.fps else 0.0
        self._tell = tell or (lambda line: print(f"{self.name}: {line}", file=sys.stderr, flush=True))
        self._grabber: Grabber | None = None
        self._last = time.monotonic()  # when a frame came
        self._called: float | None = None  # since when a call lasts
        self._there = True
        try:
            self._grabber = self._open()
            self.mode = self._grabber.mode
        except Away as error:
            if not wait:
                raise
            self._there = False
            self._tell(f"waiting for it: {error}")
        self.reopened = 0
        self._pause = _FIRST_PAUSE
        self._newest: Frame | None = None
        self._fresh = threading.Condition()
        self._ended = False
        self._error: UserError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="camera", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            index = 0
            while not self._stop.is_set():
                if self._grabber is None and not self._reopen():
                    return
                assert self._grabber is not None
                index = self._read(self._grabber, index)
                self._let_go()
                if self._there and not self._stop.is_set():
                    self._there = False
                    self._tell("lost; opening it again")
        except EndOfSource:
            pass
        except UserError as error:
            self._error = error
        finally:
            self._let_go()
            with self._fresh:
                self._ended = True
                self._fresh.notify()

    def _read(self, grabber: Grabber, index: int) -> int:
        """Read until it fails, or has been silent for too long; the number of the next frame."""
        last, due = time.monotonic(), 0.0
        while not self._stop.is_set():
            image, now = None, 0.0
            try:
                with self._call():
                    grabbed = grabber.grab()
                    now = time.monotonic()
                    wanted = grabbed and now >= due
                    image = grabber.retrieve() if wanted else None
            except (EndOfSource, UserError):
                raise
            except Exception:  # whatever a driver raises, the source is lost and may return
                return index
            if image is not None:
                due = max(due, now - self._period) + self._period  # one that is late lets the next be early
                with self._fresh:
                    self.dropped += self._newest is not None
                    self._newest = Frame(image, index, self.name, now)
                    self._fresh.notify()
            if image is not None or (grabbed and not wanted):
                index, last, self._last, self._pause = index + 1, now, now, _FIRST_PAUSE
                if not self._there:
                    self._there = True
                    self._tell("found again" if index > 1 else "found")
            elif now - last > SILENCE:
                return index
            else:
                self._stop.wait(0.02)
        return index

    @contextlib.contextmanager
    def _call(self) -> Iterator[None]:
        """The time that a call into a driver takes."""
        self._called = time.monotonic()
        try:
            yield
        finally:
            self._called = None

    def _let_go(self) -> None:
        grabber, self._grabber = self._grabber, None
        with contextlib.suppress(Exception), self._call():  # one that cannot be closed may still open again
            if grabber is not None:
                grabber.close()

    def _reopen(self) -> bool:
        while not self._stop.wait(self._pause):
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            try:
                with self._call():
                    self._grabber = self._open()
            except (EndOfSource, UserError) as error:
                if isinstance(error, Away):
                    continue
                raise
            except Exception:  # whatever a driver raises, it is not there yet
                continue
            self.mode = self._grabber.mode
            self.reopened += 1
            return True
        return False

    def signal(self) -> Signal:
        now, called = time.monotonic(), self._called
        return Signal(now - self._last, self.reopened, called is not None and now - called > HUNG)

    def __iter__(self) -> Iterator[Frame | None]:
        while True:
            with self._fresh:
                self._fresh.wait_for(lambda: self._newest is not None or self._ended, _TICK)
                frame, self._newest = self._newest, None
                ended = self._ended
            if frame is None and ended:
                if self._error is not None:
                    raise self._error
                return
            yield frame

    def close(self) -> None:
        self._stop.set()
        self._thread.join(SILENCE)
