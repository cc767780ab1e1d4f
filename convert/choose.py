"""The gate and the choice: which variants keep the accuracy, and which of those a device should get."""

from typing import Any

from convert.schemes import BASELINE

# A laptop orders latencies no finer than this; the device has other kernels. Within it the smaller file wins.
EQUALLY_FAST = 1.25


def verdict(variant: dict[str, Any], tolerance: float) -> str:
    """ "pass" if the accuracy fell by at most `tolerance` percentage points, else "fail"."""
    return "pass" if variant["drop_points"] <= tolerance else "fail"


def choose(variants: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """The variant for the device and a sentence that says why: of those that pass the fastest, then the smallest.

    The unquantized baseline is the answer when nothing else passes.
    """
    baseline = next(variant for variant in variants if variant["scheme"] == BASELINE)
    passed = [variant for variant in variants if variant["verdict"] == "pass"]
    if not passed or passed == [baseline]:
        return baseline, "no quantized variant keeps the accuracy"
    fastest = min(variant["latency_ms"]["p50"] for variant in passed)
    fast = [variant for variant in passed if variant["latency_ms"]["p50"] <= EQUALLY_FAST * fastest]
    chosen = min(fast, key=lambda variant: variant["bytes"])
    return chosen, f"the smallest of {len(fast)} that pass and are about equally fast here"
