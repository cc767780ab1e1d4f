"""The connections of the page's server: who waits, who is answered, and who must go so that others get in.

Python's own http.server, one thread a connection, and what it lacks: a deadline for a whole request, a bound on
connections, and a place that nobody can take away from those who come with a short request.
"""

import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

_CONNECTIONS = 64  # at a time
_VIEWERS = 24  # of these, that wait for pictures or read a stream; the others are for short requests
_ONE_ADDRESS = 12  # viewers from one address, beyond this machine
_DEADLINE = 5.0  # seconds from the start of a connection, or from its last answer, to the end of its next request
_NOTES = {408: "Request Timeout", 503: "Service Unavailable"}


@dataclass
class Peer:
    """One connection: from where, whether it still owes a request and since when, and whether it ever sent one."""

    address: str
    since: float
    owes: bool = True
    fresh: bool = True


class Server(ThreadingHTTPServer):
    """One that cannot be filled by peers that send nothing, or a byte now and then.

    When all places are taken, the connection goes that has owed a request for longest, of the address that owes most:
    a browser sends its request at once and is never that one.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._lock = threading.Lock()
        self._peers: dict[Any, Peer] = {}
        self._viewers: Counter[str] = Counter()
        self._told = ""
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            owing = {key: peer for key, peer in self._peers.items() if peer.owes}
            if len(self._peers) >= _CONNECTIONS and owing:
                counts = Counter(peer.address for peer in owing.values())
                self._drop(min(owing, key=lambda key: (-counts[owing[key].address], owing[key].since)), 503)
            full = len(self._peers) >= _CONNECTIONS
            if not full:
                self._peers[request] = Peer(client_address[0], time.monotonic())
        if full:
            _say(request, 503)
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def server_close(self) -> None:
        """Stop listening, and end what is open: a viewer must not go on with a page that is over."""
        super().server_close()
        with self._lock:
            for request in list(self._peers):
                self._drop(request, 503)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._peers.pop(request, None)

    def service_actions(self) -> None:
        """Between two connections, and several times a second: those that are past the deadline go."""
        late = time.monotonic() - _DEADLINE
        with self._lock:
            for request, peer in list(self._peers.items()):
                if peer.owes and peer.since < late:
                    self._drop(request, 408)

    def _drop(self, request: Any, status: int) -> None:
        peer = self._peers.pop(request)
        if peer.fresh:  # one that has been answered before is a browser's spare connection
            _say(request, status)
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)  # its thread reads the end and closes it

    def owes(self, request: Any, owes: bool) -> None:
        """A connection brought a whole request, or was answered and may bring the next one."""
        with self._lock:
            if (peer := self._peers.get(request)) is not None:
                peer.owes, peer.since, peer.fresh = owes, time.monotonic(), peer.fresh and owes

    @contextmanager
    def viewing(self, address: str) -> Iterator[bool]:
        """Whether there is a place for one more viewer from there; it is taken for the length of the block."""
        ours = ip_address(address.partition("%")[0]).is_loopback
        with self._lock:
            free = self._viewers.total() < _VIEWERS and (ours or self._viewers[address] < _ONE_ADDRESS)
            self._viewers[address] += free
        try:
            yield free
        finally:
            with self._lock:
                self._viewers[address] -= free
                self._viewers += Counter()  # keeps those above zero

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line, once until it changes: an error of every picture must not fill the journal."""
        error = sys.exc_info()[1]
        told = f"preview: {type(error).__name__}: {error}".strip()
        if not isinstance(error, OSError) and told != self._told:  # a viewer that went away is no error
            print(told, file=sys.stderr, flush=True)
            self._told = told


def _say(request: Any, status: int) -> None:
    """An answer to one that is not read any further. It is short, and the first: it fits without waiting."""
    text = f"{status} {_NOTES[status]}"
    answer = f"HTTP/1.1 {text}\r\nConnection: close\r\nContent-Length: {len(text)}\r\nRetry-After: 2\r\n\r\n{text}"
    with suppress(OSError):
        request.send(answer.encode())
