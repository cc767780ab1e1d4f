"""Tells systemd that frames are coming: a camera that hangs silences this, and the service is started anew.

The protocol is that of sd_notify(3): datagrams of `KEY=value` to the socket that NOTIFY_SOCKET names.
"""

import os
import socket
import time
from contextlib import suppress

from edge.sinks.base import Moment, Sink

_PAUSE = 1.0  # seconds; well below any sensible WatchdogSec


class Watchdog(Sink):
    """A sink: READY with the first frame, then WATCHDOG at most once a second as long as frames come.

    For the journal, a line for each change of the label.
    """

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)  # a supervisor that does not listen must not hold up the frames
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._ready = False
        self._told = 0.0

    def write(self, moment: Moment) -> None:
        if moment.event:
            before = moment.event.previous or "nothing"
            print(f"{moment.event.label} {moment.event.score:.0%} (before: {before})", flush=True)
        now = time.monotonic()
        if self._ready and now - self._told < _PAUSE:
            return
        self._told = now
        state = f"STATUS={moment.stable} {moment.result.score:.0%}, {moment.fps:.1f} frames/s\nWATCHDOG=1"
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
