"""What `python -m convert` says at its end."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from convert.schemes import BASELINE

# What to try where nothing passes, the likeliest first.
REMEDIES = "selective-int8", "float16", "dynamic", "int16x8"
ACCEPTED = "; this ends with status 3, --accept undecided makes it 0"


def advice(variants: Sequence[dict[str, Any]], skipped: Mapping[str, str], tolerance: float, pictures: int) -> str:
    """What went wrong where no variant passes, and what to try."""
    quantized = [row for row in variants if row["scheme"] != BASELINE]
    if not quantized:
        return "no quantized variant could be made; best.tflite is the float model; try another --scheme"
    losses = ", ".join(f"{row['scheme']} loses {row['drop_points']:.2f}" for row in quantized)
    untried = [name for name in REMEDIES if name not in skipped and all(row["scheme"] != name for row in quantized)]
    remedies = [f"--scheme {' '.join(untried)}"] * bool(untried) + ["a higher --tolerance, or more pictures"]
    return (
        f"accuracy is not kept: {losses} points on {pictures} pictures, where {tolerance:g} are allowed; "
        f"best.tflite is the float model; try {', '.join(remedies)}"
    )


def held_out_alone(variants: Sequence[dict[str, Any]], pictures: int) -> list[str]:
    """Sentences on the variants that were not proved on all of so many pictures."""
    alone: dict[tuple[int, str], list[str]] = defaultdict(list)
    for row in variants:
        if row["pictures"] < pictures:
            alone[row["pictures"], f"{row['accuracy'] + row['drop_points'] / 100:.2%}"].append(row["scheme"])
    return [
        f"{', '.join(schemes)} learned from the training pictures once more, so the {count} held out alone prove "
        f"{'it' if len(schemes) == 1 else 'them'}; the Keras model has {share} of those right"
        for (count, share), schemes in alone.items()
    ]


def print_table(variants: Sequence[dict[str, Any]], chosen: str, bench: Mapping[str, float]) -> None:
    """The variants side by side, for a terminal.

    Args:
        bench: scheme to milliseconds on the device, as far as they were measured there.
    """
    there = f" {'there':>7}" if bench else ""
    print(f"\n  {'scheme':<18} {'accuracy':>9} {'drop':>7} {'agree':>8} {'MB':>7} {'ms here':>8}{there}  verdict")
    for row in variants:
        mark = "*" if row["scheme"] == chosen else " "
        device = f" {bench[row['scheme']]:>7.1f}" if row["scheme"] in bench else " " * len(there)
        print(
            f"{mark} {row['scheme']:<18} {row['accuracy']:>9.2%} {row['drop_points']:>7.2f} {row['agreement']:>8.2%} "
            f"{row['bytes'] / 1e6:>7.2f} {row['latency_ms']['p50']:>8.1f}{device}  {row['verdict']}"
        )
    print()
