"""Where results go: any number of sinks at once, one table. What a sink costs, its own thread pays (`queued`)."""

import importlib
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

from edge.model.classifier import Classifier
from edge.sinks.base import Sink
from edge.sources.base import Source


@dataclass(frozen=True)
class Kind:
    """One row of `SINKS`: what `--help` says of it, and what opens it from the options."""

    metavar: str | None  # None: a flag without a value
    help: str
    open: Callable[[Namespace, Classifier, Source], Sink]
    direct: bool = False  # cheap or bound to the main thread: called by the loop itself, without a queue


def _later(place: str) -> Callable[[Namespace, Classifier, Source], Sink]:
    """An opener that imports its module only when it is used, so that no run pays for sinks it does not have."""

    def opener(options: Namespace, classifier: Classifier, source: Source) -> Sink:
        module, _, name = place.rpartition(".")
        return getattr(importlib.import_module(f"edge.{module}"), name)(options, classifier, source)

    return opener


SINKS: dict[str, Kind] = {
    "csv": Kind("FILE", "append one row a frame", _later("sinks.csv.open_csv")),
    "record": Kind("FILE", "write an annotated video (.mp4 or .avi)", _later("sinks.video.open_recorder")),
    "sheet": Kind("FILE", "write a picture of annotated frames side by side", _later("sinks.video.open_sheet")),
    "window": Kind(None, "show the annotated frames; q ends", _later("sinks.video.open_window"), direct=True),
    "preview": Kind("[HOST:]PORT", "serve a page, and /metrics", _later("web.preview.open_preview"), direct=True),
    "mqtt": Kind("URL", "publish events: mqtt://[user:pass@]host[:port][/topic]", _later("sinks.mqtt.open_mqtt")),
    "webhook": Kind("URL", "POST each event as JSON", _later("sinks.hooks.open_webhook")),
    "exec": Kind("COMMAND", "run a command for each event, as JSON on its input", _later("sinks.hooks.open_command")),
    "save-uncertain": Kind("DIR", "keep frames that the model is not sure of", _later("sinks.unsure.open_uncertain")),
}  # fmt: skip
