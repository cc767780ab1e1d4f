"""The choice: which of the variants that keep the accuracy a device should get, and why."""

from typing import Any

from convert.schemes import BASELINE

# A laptop orders latencies no finer than this; the device has other kernels. Within it the smaller file wins.
EQUALLY_FAST = 1.25
# Files that differ by less are equally small, and the one of the simpler scheme wins: the one earlier in the table.
EQUALLY_SMALL = 1.01


def choose(variants: list[dict[str, Any]], tolerance: float, prefer: str = "speed") -> tuple[dict[str, Any], str, bool]:
    """The variant for the device, a sentence that says why, and whether any quantized one was good enough.

    Of all that pass, the fastest, then the smallest (`prefer` "speed"), or the smallest, then the fastest ("size"),
    then the first. If no quantized one passes, those count that are undecided but were measured within the
    tolerance; if there are none either, it is the unquantized baseline.
    """
    baseline = next(variant for variant in variants if variant["scheme"] == BASELINE)
    quantized = [variant for variant in variants if variant is not baseline]
    passed = [variant for variant in quantized if variant["verdict"] == "pass"]
    likely = [variant for variant in quantized if variant["verdict"] != "fail" and variant["drop_points"] <= tolerance]
    if not (passed or likely):
        return baseline, "no quantized variant keeps the accuracy", False
    candidates = [baseline, *(passed or likely)]
    what = "pass" if passed else "are within the tolerance, if undecided"
    if prefer == "size":
        chosen = fast(small(candidates))[0]
        return chosen, f"the smallest of {len(candidates)} that {what}", True
    equal = fast(candidates)
    chosen = small(equal)[0]
    if len(equal) == 1:
        return chosen, f"the fastest of {len(candidates)} that {what}", True
    return chosen, f"the smallest of {len(equal)} that are about equally fast, of {len(candidates)} that {what}", True


def fast(variants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are as fast as the fastest, in the same order."""
    best = min(variant["latency_ms"]["p50"] for variant in variants)
    return [variant for variant in variants if variant["latency_ms"]["p50"] <= EQUALLY_FAST * best]


def small(variants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are as small as the smallest, in the same order."""
    best = min(variant["bytes"] for variant in variants)
    return [variant for variant in variants if variant["bytes"] <= EQUALLY_SMALL * best]
