"""Sinks that tell others of events: a web hook, a command."""

import json
import os
import shlex
import shutil
import subprocess
import time
from argparse import Namespace

from edge.errors import UserError
from edge.model.classifier import Classifier
from edge.sinks.base import Moment, Sink, as_event
from edge.sources.base import Source, split_address

_PAUSES = (1.0, 3.0)  # seconds before the second and third attempt
_TIMEOUT = 5.0  # seconds for one request
_LONGEST_COMMAND = 30.0  # seconds after which a command is ended


def open_webhook(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return WebHook(options.webhook)


def open_command(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Command(options.exec)


class WebHook(Sink):
    """POSTs each event as JSON; tried three times, and while the receiver is known to be gone, once."""

    events_only = True

    def __init__(self, url: str) -> None:
        parts = split_address("--webhook", url)
        self._name = f"{parts.scheme}://{parts.hostname}"  # as it may be printed: keys stand in the path
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
            raise UserError(f"--webhook: expected http://… or https://… without spaces, found {self._name}/…")
        if parts.username or parts.password:
            raise UserError("--webhook: expected an address without user and password; put a key into its path")
        self.url, self._gone = url, False

    def write(self, moment: Moment) -> None:
        from http.client import HTTPException
        from urllib.request import Request, urlopen

        request = Request(self.url, json.dumps(as_event(moment)).encode(), {"Content-Type": "application/json"})
        for pause in (() if self._gone else _PAUSES) + (0.0,):
            try:
                with urlopen(request, timeout=_TIMEOUT) as response:
                    response.read(1024)
                self._gone = False
                return
            except (OSError, HTTPException, ValueError) as error:
                reason = error
                time.sleep(pause)
        self._gone = True
        raise OSError(f"{self._name} did not take an event: {reason}")


class Command(Sink):
    """Runs a command for each event, one after the other, with the event as JSON on its standard input.

    FROSTLITE_LABEL, FROSTLITE_PREVIOUS and FROSTLITE_SCORE are in its environment. No shell is involved.
    """

    events_only = True

    def __init__(self, command: str) -> None:
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise UserError(f"--exec: {error}: {command}") from error
        if not self.words or shutil.which(self.words[0]) is None:
            raise UserError(f"--exec: expected a command, found none of the name {self.words[:1]}")

    def write(self, moment: Moment) -> None:
        event = as_event(moment)
        names = {f"FROSTLITE_{key.upper()}": str(event[key]) for key in ("label", "previous", "score")}
        try:
            done = subprocess.run(
                self.words,
                input=json.dumps(event) + "\n",
                text=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **names},
                timeout=_LONGEST_COMMAND,
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{self.words[0]} was ended after {_LONGEST_COMMAND:.0f} s") from error
        if done.returncode:
            raise OSError(f"{self.words[0]} ended with status {done.returncode}")
