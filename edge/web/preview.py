"""The page: the live picture and all that is known of it, for any number of viewers.

Each picture is encoded once, at a modest rate and only while somebody looks, and goes out with what is known of it;
`edge.web.server` hands it out.
"""

import json
import os
import re
import secrets
import sys
import threading
import time
from argparse import Namespace
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.board import temperature, throttling
from edge.errors import UserError
from edge.model.classifier import UNKNOWN, Classifier
from edge.model.why import best_two, seen_part
from edge.sinks.base import Moment, Sink
from edge.sources.base import Signal, Source
from edge.store import SaveFolder
from edge.web import server
from edge.web.access import make_token, parse_address, reachable
from edge.web.metrics import render

_RATE = 12.0  # pictures a second at most
_PATIENCE = 1.0  # seconds that an answer waits for a new picture
_LONGEST = 960  # pixels of a picture's longer side at most
_QUALITY = 80  # of the JPEGs, 0 to 100
_LABELS = 24  # bars at most


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
    rows = [row for row in model if row[1]]
    why = classifier if classifier.depths else None
    return Preview(options.preview, source.name, folder, labels=spec.labels, model=rows, why=why)


@dataclass(frozen=True)
class Shown:
    """A frame on its way to the viewers: its number, the frame, what is known of it, when it came, and why."""

    number: int
    image: np.ndarray
    moment: Moment | None
    came: float
    why: dict[str, Any] | None = None
    jpeg: bytes = b""


class Preview(Sink):
    """A page at `address` ("8080", "0.0.0.0:8080"); beyond this machine only with a token.

    Args:
        address: port, or host and port.
        source: its name, for the page.
        folder: where the page's button saves frames.
        labels: of the model, or of the frames that are collected.
        model: names and values for the card; none if nothing classifies.
        label: the label that the form starts with.
        why: what tells why, if it can. It is asked while a viewer has the switch on.
    """

    index = "index.html"

    def __init__(
        self,
        address: str,
        source: str,
        folder: SaveFolder,
        *,
        labels: tuple[str, ...],
        model: list[tuple[str, str]],
        label: str = "",
        why: Classifier | None = None,
    ) -> None:
        host, port = parse_address(address)
        self.token = make_token(host)
        self.folder, self.labels = folder, labels
        self.card: dict[str, Any] = {
            "source": source, "labels": labels[:1000], "label": label, "unknown": UNKNOWN, "model": model,
            "classifies": bool(model), "why": why is not None,
        }  # fmt: skip
        self._why, self._curious, self._again = why, 0.0, 0.0  # until when it is asked for, when it is told again
        self._explained: Shown | None = None
        self._told = Signal(), time.monotonic()
        self.frames = 0
        self.encoded = 0
        self.event_counts: Counter[str] = Counter()
        self._identity = secrets.token_hex(4)  # of this run: a page that outlives it hears the card again
        self._events: deque[tuple[float, str]] = deque(maxlen=1000)
        self._changes = 0
        self._newest: Shown | None = None
        self._picture: Shown | None = None  # the newest that was encoded
        self._due = 0.0
        self._fresh = threading.Condition()
        self._encoding = threading.Lock()
        self._stop = threading.Event()
        try:
            self._server = server.start(self, (host, port))
        except OSError as error:
            raise UserError(f"--preview: {address}: cannot listen there: {error.strerror}") from error
        self.port = self._server.server_address[1]
        self.link = f"http://{reachable(host)}:{self.port}/" + (f"?token={self.token}" if self.token else "")
        # Who has set the token knows it, and it is not for the journal of a service.
        known = self.token and self.token == os.environ.get("FROSTLITE_TOKEN")
        told = f"{self.link.partition('?')[0]} with the token of FROSTLITE_TOKEN" if known else self.link
        print(f"preview: {told}", file=sys.stderr, flush=True)

    def write(self, moment: Moment) -> None:
        if moment.event is not None:
            self.event_counts[moment.event.label] += 1
        self._mark(moment.stable, time.monotonic())
        now, why = time.monotonic(), None
        if self._why and self._again <= now < self._curious:
            self._again, why = now + 1 / _RATE, self._explain(moment)
        self._take(moment.frame.image, moment, why)

    def _next(self) -> Shown | None:
        """The picture to show: the newest, or while somebody asks why, the newest of which that is known."""
        now, known = time.monotonic(), self._explained
        return known if known and now < self._curious and now - known.came < _PATIENCE else self._newest

    def _explain(self, moment: Moment) -> dict[str, Any]:
        """What speaks for the best label of the frame that was run last: cells of -100 to 100, and where they lie."""
        assert self._why
        label, rival = best_two(moment.result.scores)
        heat = self._why.heat(label, rival)
        left, top, width, height = seen_part(moment.frame.image.shape, self._why.spec)
        high, wide = moment.frame.image.shape[:2]
        cells = np.rint(heat * (100 / max(1e-6, float(np.abs(heat).max())))).astype(int).tolist()
        box = [left / wide, top / high, width / wide, height / high]
        return {"label": self.labels[label], "rival": self.labels[rival], "cells": cells, "box": box}

    def show(self, image: np.ndarray) -> None:
        """Take a BGR uint8 frame (height, width, 3), which must not change afterwards."""
        self._take(image, None)

    def _take(self, image: np.ndarray, moment: Moment | None, why: dict[str, Any] | None = None) -> None:
        with self._fresh:
            self.frames += 1
            self._newest = Shown(self.frames, image, moment, time.monotonic(), why)
            self._explained = self._newest if why else self._explained
            self._fresh.notify_all()

    def tick(self, signal: Signal) -> None:
        self._told = signal, time.monotonic()
        if not signal.there and self._events:
            self._mark("", self._told[1] - signal.since)

    def _mark(self, label: str, time: float) -> None:
        """From when on, for the timeline, a label stands; "" while there is no signal."""
        if not self._events or self._events[-1][1] != label:
            with self._fresh:
                self._events.append((time, label))
                self._changes += 1

    def signal(self) -> Signal:
        """That of the source, as of now; a frame that came since is one too."""
        (signal, told), newest, now = self._told, self._newest, time.monotonic()
        since = signal.since + now - told
        return replace(signal, since=min(since, now - newest.came) if newest else since)

    def close(self) -> None:
        self._stop.set()
        with self._fresh:
            self._fresh.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def is_stopping(self) -> bool:
        return self._stop.is_set()

    def next(self, after: str, why: bool = False) -> tuple[dict[str, Any], bytes]:
        """What a viewer gets who has everything up to the cursor `after`: the state, and the JPEG that it is of.

        The JPEG is empty if there is none that the viewer has not seen. Waits for one for up to a second, unless the
        cursor is of no page or of another run: then the state has the card and all events too. `why`: with what speaks
        for the label.
        """
        if why:
            self._curious = time.monotonic() + 2 * _PATIENCE
        found = re.fullmatch(rf"{self._identity}\.(\d{{1,15}})\.(\d{{1,15}})", after)
        seen, changes = map(int, found.groups()) if found else (0, 0)
        picture = self._encode(seen, _PATIENCE if found else 0)
        number = picture.number if picture else 0
        signal, now = self.signal(), time.monotonic()
        with self._fresh:
            new = list(self._events)[-(self._changes - changes) :] if self._changes > changes else []
            cursor = f"{self._identity}.{number}.{self._changes}"
        state = {
            "cursor": cursor, "clock": now, "events": new, "frame": number,
            "signal": signal.there and picture is not None, "silent": round(signal.since, 1), "hung": signal.hung,
            "age": now - picture.came if picture else None, "saved": self.folder.counts(), "figures": self._figures(),
        }  # fmt: skip
        if not found:
            state["card"] = self.card
        if signal.drift and signal.drift.since is not None:
            state["drift"] = str(signal.drift)
        if picture and picture.moment:
            state |= self._answer(picture.moment)
            if why:
                state["why"] = picture.why
        return state, picture.jpeg if picture and number != seen else b""

    def picture(self, seen: int, fill: bool) -> tuple[int, bytes]:
        """Number and JPEG of the newest picture after number `seen`.

        Without one no bytes, or if `fill` the last one again, or "no signal" if there is none.
        """
        newest = self._encode(seen, _PATIENCE)
        if newest is None or (newest.number == seen and not self.signal().there):
            return seen, _no_signal() if fill else b""
        return newest.number, newest.jpeg if fill or newest.number != seen else b""

    def _encode(self, seen: int, patience: float) -> Shown | None:
        """The newest picture, one other than number `seen` if it comes within `patience` seconds; None before any.

        The viewer who comes first encodes it for all, at a modest rate: no work is done while nobody looks, and an
        error is that viewer's alone.
        """
        with self._fresh:
            self._fresh.wait_for(lambda: self._stop.is_set() or getattr(self._next(), "number", seen) != seen, patience)
        with self._encoding:
            if self._picture is None or self._picture.number == seen:
                self._stop.wait(max(0.0, self._due - time.monotonic()))
            newest, now = self._next(), time.monotonic()
            if newest and now >= self._due and not (self._picture and self._picture.number == newest.number):
                self._due = now + 1 / _RATE
                self._picture = replace(newest, jpeg=encode(newest.image))
                self.encoded += 1
            return self._picture

    def actions(self) -> dict[str, Callable[[dict[str, Any]], str]]:
        """What the page can ask for by POST: a path, and what takes the JSON object that came and says what it did.

        It raises UserError for what cannot be done, KeyError and ValueError for an object of another form.
        """
        return {"/save": lambda given: f"saved as {self.folder.save(str(given['label']), self.newest().image)}"}

    def file(self, path: str) -> tuple[bytes, str] | None:
        """What lies at a path of its own, and its type."""
        return None

    @staticmethod
    def as_json(value: Any) -> tuple[bytes, str]:
        return json.dumps(value).encode(), "application/json"

    def newest(self) -> Shown:
        """The newest frame.

        Raises:
            UserError: if there is none, or none that is new.
        """
        newest = self._newest
        if newest is None:
            raise UserError("there is no frame yet")
        if not (signal := self.signal()).there:
            raise UserError(f"no frame for {signal.since:.0f} s: nothing is saved")
        return newest

    def _answer(self, moment: Moment) -> dict[str, Any]:
        """The label that stands with its own score, which need not be the best one, and the bars."""
        scores = moment.result.scores
        order = np.argsort(-scores)[:_LABELS] if len(scores) > _LABELS else range(len(scores))
        return {
            "label": moment.stable,
            "score": None if moment.score is None else round(moment.score, 4),
            "scores": [(self.labels[place], round(float(scores[place]), 4)) for place in order],
        }

    def _figures(self) -> list[tuple[str, str]]:
        figures = [("frames", f"{self.frames:,}")]
        if self._newest is not None and (moment := self._newest.moment) is not None:
            figures.append(("frames per second", f"{moment.fps:.1f}"))
            figures += [(stage, f"{value:.1f} ms") for stage, value in moment.result.ms.items()]
            figures.append(("dropped", f"{moment.dropped:,}"))
            if moment.lost:
                figures.append(("lost by sinks", f"{moment.lost:,}"))
        if drift := self._told[0].drift:
            figures.append(("likeness", f"{drift.likeness:.2f}, training {drift.usual:.2f}"))
        if reopened := self._told[0].reopened:
            figures.append(("camera opened again", f"{reopened:,} times"))
        warmth, slowed = _machine()
        if warmth is not None:
            figures.append(("temperature", f"{warmth:.0f} °C"))
        if slowed is not None:
            figures.append(("throttling", ", ".join(slowed) or "none"))
        return figures

    def metrics(self) -> str:
        warmth, slowed = _machine()
        newest = self._newest.moment if self._newest else None
        return render(self.frames, newest, self.event_counts, warmth, slowed, self.signal())


_machine_state: tuple[float, tuple[float | None, list[str] | None]] = (-1e9, (None, None))


def _machine() -> tuple[float | None, list[str] | None]:
    """Temperature and throttling, asked of the machine every five seconds only."""
    global _machine_state
    if time.monotonic() - _machine_state[0] > 5:
        _machine_state = time.monotonic(), (temperature(), throttling())
    return _machine_state[1]


def encode(image: np.ndarray) -> bytes:
    """A JPEG of a BGR uint8 frame (height, width, 3), made smaller if it is large."""
    height, width = image.shape[:2]
    scale = _LONGEST / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))  # a frame may be a line of pixels
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


@lru_cache(maxsize=1)
def _no_signal() -> bytes:
    """What a stream shows while there are no frames: other programs hear of it in no other way."""
    image = np.full((360, 640, 3), 48, np.uint8)
    cv2.putText(image, "no signal", (190, 195), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (200, 200, 200), 3, cv2.LINE_AA)
    return encode(image)
