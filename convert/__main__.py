"""Quantizes a finished run, proves that the accuracy stays, and chooses the file for the device.

    python -m convert runs/photos
    python -m convert runs/photos --scheme int8 --tolerance 0.5

Writes `runs/photos/export/`: one `.tflite` a scheme, `best.tflite`, and `report.json`. Ends with status 1 if no
quantized variant stays within the tolerance.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from edge.cli import number, run_command
from edge.errors import UserError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m convert", description="Quantize a run and prove its accuracy.")
    parser.add_argument("run", metavar="RUN", type=Path, help="run directory of `python -m train`")
    parser.add_argument("--scheme", metavar="NAME", nargs="+", default=["int8"], help="or all; default: int8")
    parser.add_argument(
        "--tolerance",
        metavar="POINTS",
        type=number(float, 0, 100),
        default=1.0,
        help="drop allowed; default: 1.0",
    )
    parser.add_argument(
        "--calibration",
        metavar="IMAGES",
        type=number(int, 1),
        default=200,
        help="training pictures; default: 200",
    )
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    from train.rundir import MODEL, read_run, write_json

    run = read_run(options.run)

    import numpy as np

    from convert.calibrate import choose_pictures
    from convert.choose import choose, verdict
    from convert.export import export
    from convert.parity import THREADS, compare, device_runtimes, measure
    from convert.schemes import BASELINE, SCHEMES
    from edge.files import whole
    from train.keras import keras
    from train.measure import predict

    unknown = [name for name in options.scheme if name not in (*SCHEMES, "all")]
    if unknown:
        raise UserError(f"--scheme: expected all or names out of {', '.join(SCHEMES)}, found {', '.join(unknown)}")
    wanted = list(SCHEMES) if "all" in options.scheme else [BASELINE, *options.scheme]
    schemes = [name for name in SCHEMES if name in wanted]
    try:
        model = keras.models.load_model(run.folder / MODEL, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise UserError(f"{run.folder / MODEL}: expected a Keras model: {error}") from error

    folder = options.run / "export"
    reference = predict(model, run.spec, run.validation)
    truth = np.array([picture.label for picture in run.validation])
    calibration = choose_pictures(run.train, options.calibration)
    runtimes = device_runtimes()
    variants: list[dict[str, Any]] = []
    for scheme in schemes:
        path = folder / f"{scheme}.tflite"
        data = export(model, run.spec, scheme, calibration)
        with whole(path) as part:
            part.write_bytes(data)
        measured = {runtime: measure(path, run.validation, runtime) for runtime in runtimes}
        usable = [result for result in measured.values() if not isinstance(result, str)]
        if not usable:
            raise UserError(f"{path}: no runtime could run it: {measured}")
        first = usable[0]
        variant: dict[str, Any] = {"scheme": scheme, "file": path.name, "bytes": len(data)}
        variant |= compare(reference, first.scores, run.validation)
        variant["latency_ms"] = {
            "p50": round(float(np.percentile(first.milliseconds, 50)), 2),
            "p95": round(float(np.percentile(first.milliseconds, 95)), 2),
            "threads": THREADS,
        }
        variant["peak_bytes"] = first.peak
        variant["runtimes"] = {name: result if isinstance(result, str) else "ok" for name, result in measured.items()}
        variant["verdict"] = verdict(variant, options.tolerance)
        variants.append(variant)
        print(f"{scheme}: accuracy {variant['accuracy']:.2%}, {variant['verdict']}", flush=True)

    chosen, why = choose(variants)
    with whole(folder / "best.tflite") as part:
        part.write_bytes((folder / chosen["file"]).read_bytes())
    write_json(
        folder / "report.json",
        {
            "reference": {
                "accuracy": float((reference.argmax(axis=1) == truth).mean()),
                "bytes": variants[0]["bytes"],
                "pictures": len(truth),
            },
            "variants": variants,
            "tolerance_points": options.tolerance,
            "calibration_pictures": len(calibration),
            "chosen": chosen["scheme"],
            "why": why,
        },
    )
    print_table(variants, chosen["scheme"])
    print(f"chosen: {chosen['scheme']}, {why}: {folder / 'best.tflite'}")
    failed = [variant for variant in variants if variant["verdict"] == "fail"]
    if failed and chosen["scheme"] == BASELINE:
        drops = ", ".join(f"{variant['scheme']} loses {variant['drop_points']:.2f}" for variant in failed)
        print(
            f"accuracy is not kept: {drops} points on {len(truth)} validation pictures, "
            f"more than the {options.tolerance} allowed; best.tflite is the float model",
            file=sys.stderr,
        )
        return 1
    print(f"next: python -m edge run {folder / 'best.tflite'} --source 0")
    return 0


def print_table(variants: list[dict[str, Any]], chosen: str) -> None:
    """The variants side by side, for a terminal."""
    print(f"\n  {'scheme':<10} {'accuracy':>9} {'drop':>7} {'agree':>8} {'MB':>7} {'ms (p50)':>9}  verdict")
    for row in variants:
        mark = "*" if row["scheme"] == chosen else " "
        print(
            f"{mark} {row['scheme']:<10} {row['accuracy']:>9.2%} {row['drop_points']:>7.2f} {row['agreement']:>8.2%} "
            f"{row['bytes'] / 1e6:>7.2f} {row['latency_ms']['p50']:>9.1f}  {row['verdict']}"
        )
    print()


if __name__ == "__main__":
    run_command(main)
