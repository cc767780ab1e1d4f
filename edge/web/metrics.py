"""What Prometheus reads at /metrics, in its text format (prometheus.io/docs/instrumenting/exposition_formats)."""

from collections.abc import Mapping
from typing import Any

from edge.sinks.base import Moment
from edge.sources.base import Signal


def render(
    frames: int,
    newest: Moment | None,
    events: Mapping[str, int],
    warmth: float | None,
    slowed: list[str] | None,
    signal: Signal | None = None,
) -> str:
    """All metrics as text. Names end in their unit; temperature in degrees Celsius."""
    table: list[tuple[str, str, str, list[tuple[dict[str, str], float]]]] = [
        ("frostlite_frames_total", "counter", "Frames classified.", [({}, frames)]),
        ("frostlite_events_total", "counter", "Changes to a label.", [({"label": k}, v) for k, v in events.items()]),
    ]
    if signal is not None:
        table += [
            ("frostlite_signal", "gauge", "1 while the source has frames, else 0.", [({}, signal.there)]),
            ("frostlite_last_frame_age_seconds", "gauge", "Since the source had a frame.", [({}, signal.since)]),
            ("frostlite_source_reopened_total", "counter", "Times it was opened again.", [({}, signal.reopened)]),
        ]
    if signal is not None and (drift := signal.drift) is not None:
        table += [
            ("frostlite_likeness_hour", "gauge", "Mean likeness to the training photos.", [({}, drift.likeness)]),
            ("frostlite_likeness_usual", "gauge", "What half of those reach, out of fold.", [({}, drift.usual)]),
            (
                "frostlite_drift",
                "gauge",
                "1 while the frames are not what it learned.",
                [({}, drift.since is not None)],
            ),
        ]
    if newest is not None:
        stages: list[tuple[dict[str, str], float]] = [({"stage": k}, v / 1e3) for k, v in newest.result.ms.items()]
        table += [
            ("frostlite_frames_dropped_total", "counter", "Frames the source dropped.", [({}, newest.dropped)]),
            ("frostlite_sink_lost_total", "counter", "Results that sinks did not take.", [({}, newest.lost)]),
            ("frostlite_frames_per_second", "gauge", "Rate over the last frames.", [({}, newest.fps)]),
            ("frostlite_stage_seconds", "gauge", "Time of each stage for the last frame.", stages),
            ("frostlite_label", "gauge", "1 for the label that stands.", [({"label": newest.stable}, 1)]),
            ("frostlite_top_score", "gauge", "The best score of the last frame.", [({}, newest.result.score)]),
            ("frostlite_last_frame_timestamp_seconds", "gauge", "When it came.", [({}, newest.time)]),
        ]
    if warmth is not None:
        table.append(("frostlite_temperature_celsius", "gauge", "Of the processor.", [({}, warmth)]))
    if slowed is not None:
        now = any(not name.endswith("since boot") for name in slowed)
        table.append(("frostlite_throttled", "gauge", "1 while the machine slows itself down.", [({}, now)]))
    lines = []
    for name, kind, text, samples in table:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{_labels(labels)} {float(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, Any]) -> str:
    if not labels:
        return ""
    escapes = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
    return "{" + ",".join(f'{name}="{str(value).translate(escapes)}"' for name, value in labels.items()) + "}"
