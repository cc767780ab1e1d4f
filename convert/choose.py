"""The choice: which of the variants that keep the accuracy a device should get, and why."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.schemes import BASELINE
from edge.errors import UserError

# A laptop orders latencies no finer than this; the device has other kernels. Within it the smaller file wins.
EQUALLY_FAST = 1.25
# Files that differ by less are equally small, and the one of the simpler scheme wins: the one earlier in the table.
EQUALLY_SMALL = 1.01

Row = dict[str, Any]


def choose(
    variants: list[Row], tolerance: float, prefer: str = "speed", bench: Mapping[str, float] | None = None
) -> tuple[Row, str, bool]:
    """The variant for the device, a sentence that says why, and whether any quantized one was good enough.

    Of all that pass, the fastest, then the smallest (`prefer` "speed"), or the smallest, then the fastest ("size"),
    then the first. If no quantized one passes, those count that are undecided but were measured within the
    tolerance; if there are none either, it is the unquantized baseline.

    Args:
        bench: scheme to milliseconds on the device. Where it has any of the candidates, those alone are chosen from by
            speed, for a time from here and one from there cannot be compared.
    """
    baseline = next(variant for variant in variants if variant["scheme"] == BASELINE)
    quantized = [variant for variant in variants if variant is not baseline]
    passed = [variant for variant in quantized if variant["verdict"] == "pass"]
    likely = [variant for variant in quantized if variant["verdict"] != "fail" and variant["drop_points"] <= tolerance]
    if not (passed or likely):
        return baseline, "no quantized variant keeps the accuracy", False
    candidates = [baseline, *(passed or likely)]
    timed = [row for row in candidates if row["scheme"] in (bench or {})]
    milliseconds = {row["scheme"]: row["latency_ms"]["p50"] for row in candidates}
    if timed:
        candidates, milliseconds = timed, dict(bench or {})
    what = f"{'pass' if passed else 'are within the tolerance, if undecided'}{' and were timed there' if timed else ''}"
    if prefer == "size":
        chosen = fast(small(candidates), milliseconds)[0]
        return chosen, f"the smallest of {len(candidates)} that {what}", True
    equal = fast(candidates, milliseconds)
    chosen = small(equal)[0]
    if len(equal) == 1:
        return chosen, f"the fastest of {len(candidates)} that {what}", True
    return chosen, f"the smallest of {len(equal)} that are about equally fast, of {len(candidates)} that {what}", True


def fast(variants: list[Row], milliseconds: Mapping[str, float]) -> list[Row]:
    """Those that are as fast as the fastest, in the same order."""
    best = min(milliseconds[variant["scheme"]] for variant in variants)
    return [variant for variant in variants if milliseconds[variant["scheme"]] <= EQUALLY_FAST * best]


def small(variants: list[Row]) -> list[Row]:
    """Those that are as small as the smallest, in the same order."""
    best = min(variant["bytes"] for variant in variants)
    return [variant for variant in variants if variant["bytes"] <= EQUALLY_SMALL * best]


def device_latencies(path: Path) -> dict[str, float]:
    """Scheme to the median milliseconds of one inference, from the JSON of `python -m edge bench`.

    Raises:
        UserError: if it cannot be read, or has no model that names its scheme.
    """
    try:
        models = json.loads(path.read_bytes())["models"]
        found = {
            row["scheme"]: float(row["invoke_ms_by_threads"][str(row["threads"])]["p50"])
            for row in models
            if row["scheme"]
        }
    except OSError as error:
        raise UserError(f"--device-bench: {path}: expected a JSON file, found {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--device-bench: {path}: expected the JSON of `bench`, found another one ({error!r})"
        ) from error
    if not found:
        raise UserError(f"--device-bench: {path}: expected models that name their scheme, found none")
    return found
