"""A sink that publishes events to an MQTT broker, in the form that Home Assistant finds by itself."""

import json
import re
import socket
import ssl
import sys
import threading
from argparse import Namespace
from typing import Any
from urllib.parse import unquote

from edge.errors import UserError
from edge.model.classifier import Classifier
from edge.sinks.base import Moment, Sink, as_event
from edge.sources.base import Source, shown, split_address

_LONGEST_PAUSE = 60  # seconds between attempts to reach the broker; doubled each time, for ever
_PATIENCE = 2.0  # seconds that an event waits for a connection before it counts as lost


def open_mqtt(options: Namespace, classifier: Classifier, source: Source) -> Sink:
    return Mqtt(options.mqtt, classifier.path.stem)


class Mqtt(Sink):
    """Publishes, below one topic: `state` (retained: the last event as JSON) and `availability` (online, offline).

    The broker itself says offline when the connection dies (last will). A Home Assistant sensor announces itself
    below `homeassistant/`.
    """

    events_only = True

    def __init__(self, url: str, name: str) -> None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise UserError(f"--mqtt: paho-mqtt cannot be imported ({error}); try: pip install paho-mqtt") from error
        parts = split_address("--mqtt", url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise UserError(f"--mqtt: expected mqtt://host[:port][/topic] or mqtts://…, found {shown(url)}")
        host = re.sub(r"\W+", "_", socket.gethostname())
        self.topic = unquote(parts.path.strip("/")) or f"frostlite/{host}"
        if re.search(r"[+#\0]", self.topic):
            raise UserError(f"--mqtt: expected a topic without + and #, found {self.topic}")
        self.name, self.identity = name, re.sub(r"\W+", "_", self.topic)
        self._state: str | None = None
        self._up = threading.Event()
        self._client: Any = Client(CallbackAPIVersion.VERSION2)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self._client.tls_set_context(ssl.create_default_context())
        self._client.will_set(f"{self.topic}/availability", "offline", qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.on_disconnect = lambda *_: self._up.clear()
        self._client.reconnect_delay_set(1, _LONGEST_PAUSE)
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._client.connect_async(parts.hostname, port, keepalive=30)
        self._client.loop_start()

    def _connected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            print(f"mqtt: the broker refuses the connection: {reason}", file=sys.stderr, flush=True)
            return
        client.publish(f"homeassistant/sensor/{self.identity}/label/config", json.dumps(self._discovery()), 1, True)
        client.publish(f"{self.topic}/availability", "online", 1, True)
        self._up.set()
        if self._state is not None:
            client.publish(f"{self.topic}/state", self._state, 1, True)

    def _discovery(self) -> dict[str, Any]:
        return {
            "name": "Label",
            "unique_id": f"{self.identity}_label",
            "state_topic": f"{self.topic}/state",
            "value_template": "{{ value_json.label }}",
            "json_attributes_topic": f"{self.topic}/state",
            "availability_topic": f"{self.topic}/availability",
            "icon": "mdi:snowflake",
            "device": {"identifiers": [self.identity], "name": f"FrostLite {self.name}", "manufacturer": "FrostLite"},
        }

    def write(self, moment: Moment) -> None:
        self._state = json.dumps(as_event(moment), ensure_ascii=False)
        if not self._up.wait(_PATIENCE):
            raise OSError("no connection to the broker; the last event will be sent when it is back")
        self._client.publish(f"{self.topic}/state", self._state, qos=1, retain=True)

    def close(self) -> None:
        if self._client.is_connected():
            self._client.publish(f"{self.topic}/availability", "offline", qos=1, retain=True).wait_for_publish(2)
        self._client.disconnect()
        self._client.loop_stop()
