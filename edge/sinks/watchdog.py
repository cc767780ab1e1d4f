"""Tells systemd that the program goes on: a call that hangs silences this, and the service is started anew.

A camera that is away is no reason for that: it is opened again within seconds of its return.

The protocol is that of sd_notify(3): datagrams of `KEY=value` to the socket that NOTIFY_SOCKET names.
"""

import os
import socket
from contextlib import suppress

from edge.sinks.base import Moment, Sink
from edge.sources.base import Signal


class Watchdog(Sink):
    """A sink: READY with the first frame or without a camera, then WATCHDOG once a second unless a call hangs.

    For the journal, a line for each change of the label.
    """

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)  # a supervisor that does not listen must not hold up the frames
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._ready = False
        self._status = "no frame yet"

    def write(self, moment: Moment) -> None:
        if moment.event:
            before = moment.event.previous or "nothing"
            print(f"{moment.event.label} {moment.event.score:.0%} (before: {before})", flush=True)
        score = "" if moment.score is None else f" {moment.score:.0%}"
        self._status = f"{moment.stable}{score}, {moment.fps:.1f} frames/s"
        if not self._ready:
            self._feed()

    def tick(self, signal: Signal) -> None:
        if not signal.there:
            self._status = f"no signal for {signal.since:.0f} s"
        if not signal.hung and (self._ready or not signal.there):  # while a frame may come, READY waits for it
            self._feed()

    def _feed(self) -> None:
        state = f"STATUS={self._status}\nWATCHDOG=1"
        self._send(state if self._ready else f"READY=1\n{state}")
        self._ready = True

    def close(self) -> None:
        self._send("STOPPING=1")
        self._socket.close()

    def _send(self, text: str) -> None:
        with suppress(OSError):
            self._socket.sendto(text.encode(), self._address)


def watchdogs() -> list[Watchdog]:
    """One watchdog if this process was started by a service manager that listens, else none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    return [Watchdog(address)] if address[:1] in ("/", "@") else []
