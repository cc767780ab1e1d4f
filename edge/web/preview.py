"""The page: the live picture and all that is known of it, for any number of viewers.

One thread encodes each picture once, at a modest rate and only while somebody looks; `edge.web.server` hands it out.
"""

import os
import sys
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.board import temperature, throttling
from edge.errors import UserError
from edge.model.classifier import UNKNOWN, Classifier
from edge.sinks.base import Moment, Sink
from edge.sources.base import Signal, Source
from edge.store import SaveFolder
from edge.web import server
from edge.web.access import make_token, parse_address
from edge.web.metrics import render

_RATE = 12.0  # pictures a second at most, and states at most a third of it
_WIDTH = 960  # pixels of the picture's longer side at most
_QUALITY = 80  # of the JPEGs, 0 to 100
_LABELS = 24  # bars at most
_SIGNAL = 3.0  # seconds without a frame after which the page says so


def open_preview(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    spec = classifier.spec
    interpreter = classifier.interpreter
    model = [
        ("file", classifier.path.name),
        ("backbone", spec.backbone),
        ("scheme", spec.scheme),
        ("input", f"{spec.size[1]}x{spec.size[0]} {interpreter.input.dtype}, {spec.resize}"),
        ("labels", str(len(spec.labels))),
        ("threshold", f"{classifier.threshold:.0%}"),
        ("runtime", f"{interpreter.runtime}, {interpreter.threads} threads"),
    ]
    folder = SaveFolder(Path(options.save_dir))
    return Preview(options.preview, source.name, folder, labels=spec.labels, model=[row for row in model if row[1]])


class Preview(Sink):
    """A page at `address` ("8080", "0.0.0.0:8080"); beyond this machine only with a token.

    Args:
        address: port, or host and port.
        source: its name, for the page.
        folder: where the page's button saves frames.
        labels: of the model, or of the frames that are collected.
        model: names and values for the card; none if nothing classifies.
        label: the label that the form starts with.
    """

    def __init__(
        self,
        address: str,
        source: str,
        folder: SaveFolder,
        *,
        labels: tuple[str, ...],
        model: list[tuple[str, str]],
        label: str = "",
    ) -> None:
        host, port = parse_address(address)
        self.token = make_token(host)
        self.folder, self.shown = folder, server.Shown()
        self.card: dict[str, Any] = {
            "source": source, "labels": labels[:1000], "label": label, "unknown": UNKNOWN, "model": model,
            "classifies": bool(model),
        }  # fmt: skip
        self.shown.jpeg = encode(np.full((90, 160, 3), 48, np.uint8))  # for viewers who come before the first frame
        self.newest: Moment | None = None
        self._told = Signal(), time.monotonic()
        self.image: np.ndarray | None = None
        self.frames = 0
        self.event_counts: Counter[str] = Counter()
        self._last = 0.0
        self._wanted = 0
        self._stop = threading.Event()
        self._arrived = threading.Event()
        try:
            self._server = server.start(self, (host, port))
        except OSError as error:
            raise UserError(f"--preview: {address}: cannot listen there: {error.strerror}") from error
        self.port = self._server.server_address[1]
        name = f"[{host}]" if ":" in host else host
        self.link = f"http://{name}:{self.port}/" + (f"?token={self.token}" if self.token else "")
        # Who has set the token knows it, and it is not for the journal of a service.
        known = self.token and self.token == os.environ.get("FROSTLITE_TOKEN")
        told = f"{self.link.partition('?')[0]} with the token of FROSTLITE_TOKEN" if known else self.link
        print(f"preview: {told}", file=sys.stderr, flush=True)
        self._encoder = threading.Thread(target=self._encode, name="encoder", daemon=True)
        self._encoder.start()

    def write(self, moment: Moment) -> None:
        if moment.event is not None:
            self.event_counts[moment.event.label] += 1
            self.shown.events.append((time.monotonic(), moment.event.label))
            self.shown.changes += 1
        self.newest = moment
        self.show(moment.frame.image)

    def show(self, image: np.ndarray) -> None:
        """Take a BGR uint8 frame (height, width, 3), which must not change afterwards."""
        self.image = image
        self.frames += 1
        self._last = time.monotonic()
        self._arrived.set()

    def tick(self, signal: Signal) -> None:
        self._told = signal, time.monotonic()

    def signal(self) -> Signal:
        """That of the source, as of now."""
        signal, told = self._told
        return replace(signal, since=signal.since + time.monotonic() - told)

    def close(self) -> None:
        self._stop.set()
        self._arrived.set()
        with self.shown.fresh:
            self.shown.fresh.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._encoder.join(2)

    def _encode(self) -> None:
        """Make pictures and states, as often as anybody can see them."""
        told, encoded = 0.0, 0
        while not self._stop.is_set():
            due = time.monotonic() + 1 / _RATE
            if self._arrived.wait(1.0):
                self._arrived.clear()
            image, number = self.image, self.frames
            jpeg = encode(image) if image is not None and self._wanted and number != encoded else None
            with self.shown.fresh:
                if jpeg is not None:
                    self.shown.jpeg, self.shown.jpegs, encoded = jpeg, self.shown.jpegs + 1, number
                if due - told > 3 / _RATE:
                    self.shown.state, self.shown.states, told = self._state(), self.shown.states + 1, due
                self.shown.fresh.notify_all()
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _state(self) -> dict[str, Any]:
        now = time.monotonic()
        state: dict[str, Any] = {
            "clock": now,
            "signal": now - self._last < _SIGNAL,
            "frame": self.frames,
            "saved": self.folder.counts(),
            "figures": self._figures(),
        }
        if self.newest is not None:
            result = self.newest.result
            order = range(len(result.scores))
            if len(result.scores) > _LABELS:
                order = np.argsort(-result.scores)[:_LABELS]  # type: ignore[assignment]
            names: tuple[str, ...] = self.card["labels"]
            scores = [(names[place], round(float(result.scores[place]), 4)) for place in order if place < len(names)]
            state |= {"label": self.newest.stable, "score": round(result.score, 4), "scores": scores}
        return state

    def _figures(self) -> list[tuple[str, str]]:
        figures = [("frames", f"{self.frames:,}")]
        if self.newest is not None:
            figures.append(("frames per second", f"{self.newest.fps:.1f}"))
            figures += [(stage, f"{value:.1f} ms") for stage, value in self.newest.result.ms.items()]
            figures.append(("dropped", f"{self.newest.dropped:,}"))
            if self.newest.lost:
                figures.append(("lost by sinks", f"{self.newest.lost:,}"))
        warmth, slowed = _machine()
        if warmth is not None:
            figures.append(("temperature", f"{warmth:.0f} °C"))
        if slowed is not None:
            figures.append(("throttling", ", ".join(slowed) or "none"))
        return figures

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Somebody wants pictures for the length of the block."""
        with self.shown.fresh:
            self._wanted += 1
        try:
            yield
        finally:
            with self.shown.fresh:
                self._wanted -= 1

    def is_stopping(self) -> bool:
        return self._stop.is_set()

    def metrics(self) -> str:
        warmth, slowed = _machine()
        return render(self.frames, self.newest, self.event_counts, warmth, slowed, self.signal())


_machine_state: tuple[float, tuple[float | None, list[str] | None]] = (-1e9, (None, None))


def _machine() -> tuple[float | None, list[str] | None]:
    """Temperature and throttling, asked of the machine every five seconds only."""
    global _machine_state
    if time.monotonic() - _machine_state[0] > 5:
        _machine_state = time.monotonic(), (temperature(), throttling())
    return _machine_state[1]


def encode(image: np.ndarray) -> bytes:
    """A JPEG of a BGR uint8 frame (height, width, 3), made smaller if it is large."""
    scale = _WIDTH / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
