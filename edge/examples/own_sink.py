"""Do something of your own when the label changes.    python edge/examples/own_sink.py best.tflite 0"""

import sys

from edge import Classifier
from edge.live import run
from edge.sinks.base import Moment, Sink
from edge.smoothing import exponential
from edge.sources.table import open_source


class Announcer(Sink):
    def write(self, moment: Moment) -> None:
        if moment.event:
            print(f"now {moment.event.label} ({moment.event.score:.0%})")  # light a lamp, open a door …


model, source = sys.argv[1:]
with Classifier(model) as classifier:
    run(classifier, open_source(source), [Announcer()], smooth=exponential(0.3))
