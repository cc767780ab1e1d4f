"""The page: a small server that shows the live picture and all that is known of it. Python's own http.server is enough.

One thread encodes each picture once, at a modest rate and only while somebody looks; every viewer has a thread that
sends the newest one. A viewer that stalls holds up its own thread alone, until its connection times out.
"""

import hmac
import json
import os
import secrets
import sys
import threading
import time
from argparse import Namespace
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np

from edge.board import temperature, throttling
from edge.classifier import UNKNOWN, Classifier
from edge.collect import SaveFolder
from edge.errors import UserError
from edge.metrics import render
from edge.sinks import Moment, Sink
from edge.sources import Source

_RATE = 12.0  # pictures a second at most, and states at most a third of it
_WIDTH = 960  # pixels of the picture's longer side at most
_QUALITY = 80  # of the JPEGs, 0 to 100
_VIEWERS = 24  # connections at a time
_STALLED = 10.0  # seconds after which a connection that takes nothing is closed
_LABELS = 24  # bars at most
_SIGNAL = 3.0  # seconds without a frame after which the page says so
_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


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


@dataclass
class Shown:
    """What the viewers get. Written by the loop and the encoder, read by every viewer, under one condition."""

    fresh: threading.Condition = field(default_factory=threading.Condition)
    jpeg: bytes = b""
    jpegs: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    states: int = 0
    events: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=1000))
    changes: int = 0


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
        self.token = "" if _is_local(host) else os.environ.get("FROSTLITE_TOKEN") or secrets.token_urlsafe(16)
        self.folder, self.shown = folder, Shown()
        self.card = {
            "source": source, "labels": labels[:1000], "label": label, "unknown": UNKNOWN, "model": model,
            "classifies": bool(model),
        }  # fmt: skip
        self.newest: Moment | None = None
        self.image: np.ndarray | None = None
        self.frames = 0
        self.event_counts: Counter[str] = Counter()
        self._last = 0.0
        self._wanted = 0
        self._stop = threading.Event()
        self._arrived = threading.Event()
        handler = type("Handler", (_Handler,), {"preview": self})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            raise UserError(f"--preview: {address}: cannot listen there: {error.strerror}") from error
        self.port = self._server.server_address[1]
        name = f"[{host}]" if ":" in host else host
        self.link = f"http://{name}:{self.port}/" + (f"?token={self.token}" if self.token else "")
        print(f"preview: {self.link}", file=sys.stderr, flush=True)
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.2,), name="page", daemon=True),
            threading.Thread(target=self._encode, name="encoder", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

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

    def close(self) -> None:
        self._stop.set()
        self._arrived.set()
        with self.shown.fresh:
            self.shown.fresh.notify_all()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(2)

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
            names: tuple[str, ...] = self.card["labels"]  # type: ignore[assignment]
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
        self._wanted += 1
        try:
            yield
        finally:
            self._wanted -= 1

    def is_stopping(self) -> bool:
        return self._stop.is_set()

    def metrics(self) -> str:
        warmth, slowed = _machine()
        return render(self.frames, self.newest, self.event_counts, warmth, slowed)


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


def parse_address(text: str) -> tuple[str, int]:
    """[HOST:]PORT to host and port; this machine only if no host is given.

    Raises:
        UserError: for anything else.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--preview: expected [HOST:]PORT as 8080 or 0.0.0.0:8080, found {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        import socket

        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._free = threading.BoundedSemaphore(_VIEWERS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a viewer that went away is no error
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    preview: Preview
    timeout = _STALLED
    server_version, sys_version = "FrostLite", ""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if not self._admit(parse_qs(address.query)):
            return
        streams = {"/stream.mjpg": self._pictures, "/events": self._states}
        if address.path in _FILES:
            name, kind = _FILES[address.path]
            self._answer(200, (_PAGE / name).read_bytes(), kind)
        elif address.path in streams:
            streams[address.path]()
        elif address.path == "/metrics":
            self._answer(200, self.preview.metrics().encode(), "text/plain; version=0.0.4; charset=utf-8")
        else:
            self._answer(404, b"there is nothing here")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if not self._admit({}):
            return
        origin = self.headers.get("Origin")
        foreign = origin is not None and urlsplit(origin).netloc != self.headers.get("Host")
        # A form of another site can send neither this type nor, unasked, a request with it.
        if foreign or self.headers.get("Content-Type") != "application/json":
            return self._answer(403, b"only the page itself may do this")
        if urlsplit(self.path).path != "/save":
            return self._answer(404, b"there is nothing here")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > 4096:
            return self._answer(413, b"expected a short request")
        image = self.preview.image
        try:
            label = json.loads(self.rfile.read(int(length)))["label"]
            if image is None:
                raise UserError("there is no frame yet")
            path = self.preview.folder.save(str(label), image)
        except UserError as error:
            return self._answer(409, str(error).encode())
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._answer(400, b"expected a JSON object with a label")
        self._answer(200, f"saved as {path}".encode())

    def _admit(self, query: dict[str, list[str]]) -> bool:
        """Whether the caller may: by host on this machine, where no other site's name may lead here; else by token."""
        token = self.preview.token
        if not token:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
            if _is_local(host):
                return True
            self._answer(403, b"expected a request to localhost")
            return False
        if "token" in query and _same(query["token"][0], token):
            self.send_response(303)
            self.send_header("Location", urlsplit(self.path).path.replace("//", "/"))
            self.send_header("Set-Cookie", f"frostlite={token}; HttpOnly; SameSite=Strict; Path=/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get("frostlite")
        except CookieError:
            cookie = None
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if _same(cookie.value if cookie else "", token) or _same(bearer, token):
            return True
        self._answer(401, b"expected the token that was printed with the link")
        return False

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, kind: str) -> None:
        self.send_response(200)
        for name, value in {**_HEADERS, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.end_headers()

    def _pictures(self) -> None:
        """JPEG after JPEG, always the newest (multipart/x-mixed-replace)."""
        self._stream("multipart/x-mixed-replace; boundary=frame")
        shown, sent = self.preview.shown, 0
        with self.preview.looking():
            while not self.preview.is_stopping():
                with shown.fresh:
                    shown.fresh.wait(1.0)
                    jpeg, number = shown.jpeg, shown.jpegs
                if jpeg and number != sent:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    sent = number

    def _states(self) -> None:
        """States and changes as server-sent events."""
        self._stream("text/event-stream; charset=utf-8")
        shown, sent = self.preview.shown, 0
        changes = shown.changes
        self._tell("card", {**self.preview.card, "events": list(shown.events)})
        while not self.preview.is_stopping():
            with shown.fresh:
                shown.fresh.wait(2.0)
                state, fresh, sent = shown.state, shown.states != sent, shown.states
                new = list(shown.events)[-(shown.changes - changes) :] if shown.changes > changes else []
                changes = shown.changes
            for event in new:
                self._tell("change", event)
            if state and fresh:
                self._tell("state", state)

    def _tell(self, name: str, value: Any) -> None:
        self.wfile.write(f"event: {name}\ndata: {json.dumps(value)}\n\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass  # a line for each request would drown the results


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())
