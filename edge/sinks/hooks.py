"""Sinks that tell others of events: a web hook, a command."""

import atexit
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge.errors import UserError
from edge.model.classifier import Classifier
from edge.sinks.base import Moment, Sink, as_event
from edge.sources.base import Source, shown, split_address

_PAUSES = (1.0, 3.0)  # seconds before the second and third attempt
_TIMEOUT = 5.0  # seconds for one request
_LONGEST_COMMAND = 30.0  # seconds after which a command is ended
_SHELLS = ("sh", "ash", "bash", "dash", "ksh", "zsh")
# The pieces of a command line as a shell takes them; what is in single quotes or behind \ is no syntax.
_PIECES = re.compile(r"""'[^']*'|\\.|"(?P<double>(?:\\.|[^"\\])*)"|(?P<bare>[^'"\\]+)""", re.DOTALL)
_EXPANDED = re.compile(r"\$[\w({?#@*!$-]|`")
_SYNTAX = re.compile(r"[|&;<>()*\n]|(?<!\S)~|\A\s*\w+=")


def open_webhook(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return WebHook(options.webhook)


def open_command(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Command(options.exec)


class WebHook(Sink):
    """POSTs each event as JSON; tried three times, and while the receiver is known to be gone, once."""

    events_only = True

    def __init__(self, url: str) -> None:
        parts = split_address("--webhook", url)
        self._name = shown(url)  # keys stand in the path
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
            raise UserError(f"--webhook: expected http://… or https://… without spaces, found {self._name}")
        if parts.username or parts.password:
            raise UserError("--webhook: expected an address without user and password; put a key into its path")
        self.url, self._gone = url, False

    def write(self, moment: Moment) -> None:
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import HTTPRedirectHandler, Request, build_opener

        class Stay(HTTPRedirectHandler):
            """After a redirect urllib would ask for the new page, without the event."""

            def redirect_request(self, *_: Any) -> None:
                return None

        opener = build_opener(Stay)
        request = Request(self.url, json.dumps(as_event(moment)).encode(), {"Content-Type": "application/json"})
        for pause in (() if self._gone else _PAUSES) + (0.0,):
            try:
                with opener.open(request, timeout=_TIMEOUT) as response:
                    response.read(1024)
                self._gone = False
                return
            except HTTPError as error:
                reason = f"it answers with {error.code}"
                if 300 <= error.code < 400:
                    place = shown(error.headers.get("Location", "")).partition("?")[0]
                    where = place if "://" in place else "another path of the same host"
                    reason += f", a redirect to {where}: give that address to --webhook"
                    break
            except (OSError, HTTPException, ValueError) as error:
                reason = str(getattr(error, "reason", None) or error)
            time.sleep(pause)
        self._gone = True
        raise OSError(f"{self._name} did not take an event: {reason}")


class Command(Sink):
    """Runs a command for each event, one after the other, with the event as JSON on its standard input.

    FROSTLITE_LABEL, FROSTLITE_PREVIOUS and FROSTLITE_SCORE are in its environment, the token of the page is not. No
    shell is involved. One that takes too long is ended with all that it started.
    """

    events_only = True

    def __init__(self, command: str) -> None:
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise UserError(f"--exec: {error}") from error
        if found := shell_syntax(command, self.words):
            raise UserError(
                f"--exec: expected a command and its arguments, found {found}, which only a shell understands; "
                "put it into quotes, or the whole into: sh -c '…'"
            )
        if not self.words or shutil.which(self.words[0]) is None:
            raise UserError(f"--exec: expected a command, found none of the name {self.words[:1]}")
        self._running: subprocess.Popen | None = None
        atexit.register(self._end)

    def write(self, moment: Moment) -> None:
        event = as_event(moment)
        names = {f"FROSTLITE_{key.upper()}": str(event[key]) for key in ("label", "previous", "score")}
        kept = {name: value for name, value in os.environ.items() if name != "FROSTLITE_TOKEN"}
        self._running = subprocess.Popen(
            self.words,
            stdin=subprocess.PIPE,
            text=True,
            stdout=subprocess.DEVNULL,
            env={**kept, **names},
            start_new_session=True,  # a group of its own, which can be ended as one
        )
        try:
            self._running.communicate(json.dumps(event) + "\n", timeout=_LONGEST_COMMAND)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{self.words[0]} was ended after {_LONGEST_COMMAND:.0f} s") from error
        finally:
            status = self._end()
        if status:
            raise OSError(f"{self.words[0]} ended with status {status}")

    def _end(self) -> int:
        """The status of the command; one that runs still is ended, and its children."""
        job, self._running = self._running, None
        if job is None:
            return 0
        if job.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
        return job.wait()


def shell_syntax(command: str, words: list[str]) -> str:
    """What of a command line only a shell understands, or "". What a shell is given in quotes is for that one."""
    pieces = list(_PIECES.finditer(command))
    bare = "".join(piece["bare"] or "_" for piece in pieces)
    double = "".join(re.sub(r"\\.", "", piece["double"] or "") for piece in pieces)
    shell = any(Path(word).name in _SHELLS for word in words) and any(re.fullmatch("-[a-z]*c", word) for word in words)
    found = _EXPANDED.search(bare if shell else f"{bare} {double}") or _SYNTAX.search(bare)
    return found[0].strip() or "a new line" if found else ""
