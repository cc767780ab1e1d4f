"""The server of the page: Python's own http.server, one thread a connection.

A viewer that stalls holds up its own thread alone, until its connection times out.
"""

import json
import socket
import sys
import threading
import time
from collections import deque
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import numpy as np

from edge.errors import UserError
from edge.store import SaveFolder
from edge.web.access import admit, cookie

_VIEWERS = 24  # connections at a time
_STALLED = 10.0  # seconds after which a connection that takes nothing is closed
_AGAIN = 5.0  # seconds without a new picture after which the last one is sent again
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
_REFUSALS = {401: b"expected the token that was printed with the link", 403: b"expected a request to localhost"}


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


class Page(Protocol):
    """What is served."""

    token: str
    card: dict[str, Any]
    folder: SaveFolder
    shown: Shown
    image: np.ndarray | None

    def looking(self) -> AbstractContextManager[None]: ...

    def is_stopping(self) -> bool: ...

    def metrics(self) -> str: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
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


class Handler(BaseHTTPRequestHandler):
    page: Page
    timeout = _STALLED
    server_version, sys_version = "FrostLite", ""

    def parse_request(self) -> bool:
        """Read request line and headers; one with a broken address in them is answered at once."""
        if not super().parse_request():
            return False
        try:
            for address in (self.path, f"//{self.headers.get('Host', '')}", self.headers.get("Origin", "")):
                urlsplit(address)
        except ValueError:
            self._answer(400, b"expected an address")
            return False
        return True

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
            self._answer(200, self.page.metrics().encode(), "text/plain; version=0.0.4; charset=utf-8")
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
        image = self.page.image
        try:
            label = json.loads(self.rfile.read(int(length)))["label"]
            if image is None:
                raise UserError("there is no frame yet")
            path = self.page.folder.save(str(label), image)
        except UserError as error:
            return self._answer(409, str(error).encode())
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._answer(400, b"expected a JSON object with a label")
        self._answer(200, f"saved as {path}".encode())

    def _admit(self, query: dict[str, list[str]]) -> bool:
        status = admit(self.page.token, self.headers, query.get("token", [""])[0])
        if status in _REFUSALS:
            self._answer(status, _REFUSALS[status])
        elif status == 303:  # on to the same place, without the token in the address
            self.send_response(303)
            self.send_header("Location", urlsplit(self.path).path.replace("//", "/"))
            self.send_header("Set-Cookie", cookie(self.page.token))
            self.send_header("Content-Length", "0")
            self.end_headers()
        return status == 200

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
        """JPEG after JPEG, always the newest (multipart/x-mixed-replace).

        While no new one comes the last is sent again: only writing shows that a viewer is gone.
        """
        self._stream("multipart/x-mixed-replace; boundary=frame")
        shown, sent, last = self.page.shown, 0, time.monotonic()
        with self.page.looking():
            while not self.page.is_stopping():
                with shown.fresh:
                    shown.fresh.wait(1.0)
                    jpeg, number = shown.jpeg, shown.jpegs
                if jpeg and (number != sent or time.monotonic() - last > _AGAIN):
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    sent, last = number, time.monotonic()

    def _states(self) -> None:
        """States and changes as server-sent events."""
        self._stream("text/event-stream; charset=utf-8")
        shown, sent = self.page.shown, 0
        changes = shown.changes
        self._tell("card", {**self.page.card, "events": list(shown.events)})
        while not self.page.is_stopping():
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


def start(page: Page, address: tuple[str, int]) -> Server:
    """A server of `page` that listens at host and port; a thread of its own runs it until `shutdown`.

    Raises:
        OSError: if it cannot listen there.
    """
    server = Server(address, type("Bound", (Handler,), {"page": page}))
    threading.Thread(target=server.serve_forever, args=(0.2,), name="page", daemon=True).start()
    return server
