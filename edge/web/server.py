"""What the page's server answers: the page itself, `/next` for its pictures, and what other programs ask for.

`/next?after=CURSOR` answers with one line of JSON (the state), and then the JPEG that the state is of: they cannot come
apart. It waits for a picture that the cursor does not know, for a second at most; then the state comes without one.
With `why=1` the state has what speaks for the label too.
A viewer that asks one picture at a time never gets an old one out of a buffer, and holds no connection for long.
"""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from edge.errors import UserError
from edge.web.access import admit, cookie
from edge.web.connections import Server

_STALLED = 10.0  # seconds after which a connection that takes nothing is closed
_AGAIN = 5.0  # seconds without a new picture after which a stream says "no signal" in a picture
_PAGE = Path(__file__).parent / "page"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES = {f"/{path.name}": path for path in _PAGE.iterdir() if path.suffix in _KINDS}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_REFUSALS = {401: b"expected the token that was printed with the link", 403: b"expected a request to localhost"}
_BUSY = b"too many viewers; this one is served as soon as another one leaves"


class Page(Protocol):
    """What is served; see `edge.web.preview.Preview`."""

    token: str
    port: int
    index: str

    def next(self, after: str, why: bool = False) -> tuple[dict[str, Any], bytes]: ...

    def picture(self, seen: int, fill: bool) -> tuple[int, bytes]: ...

    def actions(self) -> dict[str, Callable[[dict[str, Any]], str]]: ...

    def file(self, path: str) -> tuple[bytes, str] | None: ...

    def metrics(self) -> str: ...

    def is_stopping(self) -> bool: ...


class Handler(BaseHTTPRequestHandler):
    page: Page
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = _STALLED
    server_version, sys_version = "FrostLite", ""
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        self.server.owes(self.request, True)
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Read request line and headers; one with a broken address in them is answered at once."""
        if not super().parse_request():
            return False
        # A body that is left unread would be taken for the next request. Else only a viewer's connection is kept: those
        # that a browser has to spare may be dead when it wakes, and it would wait for them.
        body = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        self.close_connection |= body or not self.path.startswith("/next")
        try:
            for address in (self.path, f"//{self.headers.get('Host', '')}", self.headers.get("Origin", "")):
                urlsplit(address)
        except ValueError:
            self._answer(400, b"expected an address")
            return False
        return True

    def do_GET(self) -> None:
        self.server.owes(self.request, False)
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        if not self._admit(query):
            return
        if path := _FILES.get(f"/{self.page.index}" if address.path == "/" else address.path):
            self._answer(200, path.read_bytes(), _KINDS[path.suffix])
        elif address.path == "/metrics":
            self._answer(200, self.page.metrics().encode(), "text/plain; version=0.0.4; charset=utf-8")
        elif address.path in ("/next", "/stream.mjpg"):
            with self.server.viewing(self.client_address[0]) as free:
                if not free:
                    self._answer(503, _BUSY, Retry_After="2")
                elif address.path == "/next":
                    state, jpeg = self.page.next(query.get("after", [""])[0], query.get("why") == ["1"])
                    self._answer(200, json.dumps(state).encode() + b"\n" + jpeg, "application/octet-stream")
                else:
                    self._stream()
        elif found := self.page.file(address.path):
            self._answer(200, *found)
        else:
            self._answer(404, b"there is nothing here")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        short = length.isdecimal() and int(length) <= 4096
        body = self.rfile.read(int(length)) if short else b""
        self.server.owes(self.request, False)
        if not self._admit({}):
            return
        origin = self.headers.get("Origin")
        foreign = origin is not None and urlsplit(origin).netloc != self.headers.get("Host")
        # A form of another site can send neither this type nor, unasked, a request with it.
        if foreign or self.headers.get("Content-Type") != "application/json":
            return self._answer(403, b"only the page itself may do this")
        action = self.page.actions().get(urlsplit(self.path).path)
        if action is None:
            return self._answer(404, b"there is nothing here")
        if not short:
            return self._answer(413, b"expected a short request")
        try:
            told = action(json.loads(body))
        except UserError as error:
            return self._answer(409, str(error).encode())
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._answer(400, b"expected a JSON object of what is asked for")
        self._answer(200, told.encode())

    def _admit(self, query: dict[str, list[str]]) -> bool:
        status = admit(self.page.token, self.headers, query.get("token", [""])[0])
        if status in _REFUSALS:
            self._answer(status, _REFUSALS[status])
        elif status == 303:  # on to the same place, without the token in the address
            place = urlsplit(self.path).path.replace("//", "/")
            self._answer(303, b"", Location=place, Set_Cookie=cookie(self.page.token, self.page.port))
        return status == 200

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8", **more: str) -> None:
        self._begin(status, {"Content-Type": kind, "Content-Length": str(len(body)), **more})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        ends = {"Connection": "close"} if self.close_connection else {}
        for name, value in {**_HEADERS, **headers, **ends}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _stream(self) -> None:
        """JPEG after JPEG, always the newest (multipart/x-mixed-replace).

        While no new one comes, one that says so is sent now and then: only writing shows that a viewer is gone.
        """
        self.close_connection = True
        self._begin(200, {"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
        seen, last = 0, time.monotonic()
        while not self.page.is_stopping() and self.command != "HEAD":
            seen, jpeg = self.page.picture(seen, time.monotonic() - last > _AGAIN)
            if jpeg:
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                last = time.monotonic()

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
