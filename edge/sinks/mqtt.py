"""A sink that publishes events to an MQTT broker, in the form that Home Assistant finds by itself."""

import hashlib
import json
import re
import socket
import ssl
import sys
import threading
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from edge.errors import UserError
from edge.model.classifier import Classifier
from edge.sinks.base import Moment, Sink, as_event, iso_time
from edge.sources.base import Signal, Source, shown, split_address

_LONGEST_PAUSE = 60  # seconds between attempts to reach the broker; doubled each time, for ever
_PATIENCE = 2.0  # seconds that an event waits for a connection before it counts as lost
_OWN_NUMBERS = ("/proc/device-tree/serial-number", "/etc/machine-id")  # a cloned SD card has the second one cloned too


def open_mqtt(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Mqtt(options.mqtt, classifier.path.stem)


class Mqtt(Sink):
    """Publishes, below one topic, all retained: `state` (the last event as JSON), `availability`, `camera` and `drift`.

    Availability is that of the program; the broker itself says offline when the connection dies (last will). `camera`
    is online while there are frames. `drift` is JSON: since when the camera sees something else than the model was
    trained on (null while it does not), and the likeness of the last hour beside the usual one. A Home Assistant sensor
    announces itself below `homeassistant/`, and is available while both are.
    """

    events_only = True

    def __init__(self, url: str, name: str) -> None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise UserError(f"--mqtt: paho-mqtt cannot be imported ({error}); try: pip install paho-mqtt") from error
        parts = split_address("--mqtt", url)
        asked = parse_qs(parts.query, keep_blank_values=True)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or set(asked) - {"ca"}:
            raise UserError(f"--mqtt: expected mqtt://host[:port][/topic] or mqtts://…[?ca=FILE], found {shown(url)}")
        host = plain(socket.gethostname())
        self.topic = unquote(parts.path.strip("/")) or f"frostlite/{host}"
        if re.search(r"[+#\0]", self.topic):
            raise UserError("--mqtt: expected a topic without +, # and zero bytes")
        self.name = f"{name} on {host}"
        self.identity = f"{plain(self.topic)}_{_number(self.topic + own_number())}"  # two that differ stay two
        self._address, self._reason = shown(url), "it does not answer"
        self._state: str | None = None
        self._camera, self._drift = "online", ""
        self._up = threading.Event()
        self._client: Any = Client(CallbackAPIVersion.VERSION2)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self._client.tls_set_context(_trust(asked.get("ca", [""])[0]))
        self._client.will_set(f"{self.topic}/availability", "offline", qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._failed
        self._client.on_disconnect = lambda *_: self._up.clear()
        self._client.reconnect_delay_set(1, _LONGEST_PAUSE)
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._client.connect_async(parts.hostname, port, keepalive=30)
        self._client.loop_start()

    def _connected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._complain(f"it refuses the connection: {reason}")
            return
        self._reason = "it does not answer"
        self._publish(f"homeassistant/sensor/{self.identity}/label/config", json.dumps(self._discovery()))
        self._publish(f"{self.topic}/availability", "online")
        self._publish(f"{self.topic}/camera", self._camera)
        self._up.set()
        for topic, text in (("state", self._state), ("drift", self._drift)):
            if text:
                self._publish(f"{self.topic}/{topic}", text)

    def _failed(self, client: Any, userdata: Any) -> None:
        """Called by paho while it handles what went wrong."""
        error = sys.exc_info()[1]
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is not trusted ({error.verify_message}); for a CA of your own: ?ca=FILE at the end"
        elif isinstance(error, socket.gaierror):
            why = "there is no host of that name"
        else:
            why = str(getattr(error, "strerror", None) or error or "it does not answer")
        self._complain(why)

    def _complain(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            print(f"mqtt: {self._address}: {reason}; trying again for ever", file=sys.stderr, flush=True)

    def _publish(self, topic: str, text: str) -> Any:
        return self._client.publish(topic, text, qos=1, retain=True)

    def _discovery(self) -> dict[str, Any]:
        return {
            "name": "Label",
            "unique_id": f"{self.identity}_label",
            "state_topic": f"{self.topic}/state",
            "value_template": "{{ value_json.label }}",
            "json_attributes_topic": f"{self.topic}/state",
            "availability": [{"topic": f"{self.topic}/{what}"} for what in ("availability", "camera")],
            "availability_mode": "all",
            "icon": "mdi:snowflake",
            "device": {"identifiers": [self.identity], "name": f"FrostLite {self.name}", "manufacturer": "FrostLite"},
        }

    def write(self, moment: Moment) -> None:
        self._state = json.dumps(as_event(moment), ensure_ascii=False)
        if not self._up.wait(_PATIENCE):
            raise OSError(f"{self._address}: {self._reason}; the last event will be sent when it does")
        self._publish(f"{self.topic}/state", self._state)

    def tick(self, signal: Signal) -> None:
        before, self._camera = self._camera, "online" if signal.there else "offline"
        if self._camera != before and self._up.is_set():
            self._publish(f"{self.topic}/camera", self._camera)
        if (drift := signal.drift) is not None:
            since = None if drift.since is None else iso_time(drift.since)
            told = json.dumps({"since": since, "likeness": round(drift.likeness, 2), "usual": round(drift.usual, 2)})
            before, self._drift = self._drift, told
            if told != before and self._up.is_set():
                self._publish(f"{self.topic}/drift", told)

    def close(self) -> None:
        if self._client.is_connected():
            self._publish(f"{self.topic}/availability", "offline").wait_for_publish(2)
        self._client.disconnect()
        self._client.loop_stop()


def plain(text: str) -> str:
    """A text as an identifier of Home Assistant, which takes letters, digits, _ and - of ASCII only."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", text)


def own_number() -> str:
    """Eight digits of this machine: two that run the same, under the same name, are two."""
    for path in _OWN_NUMBERS:
        with suppress(OSError):
            return _number(Path(path).read_text())
    return _number(socket.gethostname())


def _number(text: str) -> str:
    return hashlib.sha256(f"frostlite {text}".encode()).hexdigest()[:8]


def _trust(ca: str) -> ssl.SSLContext:
    """Who may vouch for the broker: what the system trusts, or the certificate of a file."""
    try:
        return ssl.create_default_context(cafile=str(Path(ca).expanduser()) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"--mqtt: ?ca={ca}: expected a file of certificates (PEM), found: {error.strerror}") from error
