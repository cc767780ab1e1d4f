"""Quantizes a finished run, proves that the accuracy stays, and chooses the file for the device.

    python -m convert runs/photos
    python -m convert runs/photos --scheme int8 float16 --tolerance 0.5
    python -m convert runs/photos --scheme all --prefer size
    python -m convert mine.keras --data photos --spec spec.json --out runs/mine

Writes `runs/photos/export/`: one `.tflite` a scheme, `best.tflite`, `report.html` and `report.json`. Ends with
status 1 if no quantized variant keeps the accuracy.
"""

import argparse
import gzip
import sys
from pathlib import Path
from typing import Any

from edge.cli import number, run_command
from edge.errors import UserError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m convert", description="Quantize a run and prove its accuracy.")
    parser.add_argument("run", metavar="RUN", type=Path, help="run directory of `python -m train`, or a Keras model")
    parser.add_argument("--scheme", metavar="NAME", nargs="+", default=["int8"], help="or all; default: int8")
    parser.add_argument(
        "--tolerance",
        metavar="POINTS",
        type=number(float, 0, 100),
        default=1.0,
        help="drop allowed, in percentage points; default: 1.0",
    )
    parser.add_argument(
        "--prefer", choices=("speed", "size"), default="speed", help="what to choose by; default: speed"
    )
    parser.add_argument(
        "--calibration", metavar="IMAGES", type=number(int, 1), default=200, help="training pictures; default: 200"
    )
    parser.add_argument(
        "--calibration-dir", metavar="DIR", type=Path, help="calibrate with these instead, as frames of the real camera"
    )
    own = parser.add_argument_group("a model that was trained elsewhere (.keras, .h5 or a SavedModel)")
    own.add_argument("--data", metavar="DIR", type=Path, help="its photos, as for `python -m train`")
    own.add_argument("--spec", metavar="FILE", type=Path, help="JSON: labels, size, mean, std, as spec.json of a run")
    own.add_argument("--out", metavar="DIR", type=Path, help="where export/ goes")
    options = parser.parse_args()
    given = [value for value in (options.data, options.spec, options.out) if value is not None]
    if len(given) not in (0, 3):
        parser.error("a model that was trained elsewhere takes all of --data, --spec and --out")
    return options


def main() -> int:
    options = parse_arguments()
    from train.rundir import MODEL, read_run, write_json

    run = None if options.data else read_run(options.run)

    import numpy as np

    from convert.calibrate import choose_pictures, folder_pictures
    from convert.choose import choose
    from convert.export import Job, export, widen
    from convert.investigate import calibration_sweep, layer_bytes, noise_by_layer
    from convert.own import load_model, own_run
    from convert.parity import prove
    from convert.report import write_report
    from convert.schemes import BASELINE, SCHEMES
    from convert.selective import DEBUGGED
    from convert.stats import CONFIDENCE, RULES, reference_figures
    from edge.files import whole
    from train.measure import predict

    unknown = [name for name in options.scheme if name not in (*SCHEMES, "all")]
    if unknown:
        raise UserError(f"--scheme: expected all or names out of {', '.join(SCHEMES)}, found {', '.join(unknown)}")
    wanted = list(SCHEMES) if "all" in options.scheme else [BASELINE, *options.scheme]
    schemes = [name for name in SCHEMES if name in wanted]
    model_path = run.folder / MODEL if run else options.run
    run = run or own_run(options.data, options.spec, options.out)
    model = load_model(model_path)
    expected = (None, *run.spec.size, 3)
    if model.input_shape != expected:
        raise UserError(f"{model_path}: by its contract its input is {expected}, found {model.input_shape}")

    folder = run.folder / "export"
    source = folder_pictures(options.calibration_dir) if options.calibration_dir else run.train
    calibration = choose_pictures(source, options.calibration)
    job = Job(widen(model), run.spec, run.train, calibration, options.tolerance)
    reference = predict(model, run.spec, run.validation)
    truth = np.array([picture.label for picture in run.validation])
    variants: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    scores: dict[str, np.ndarray] = {}
    for scheme in schemes:
        path = folder / f"{scheme}.tflite"
        try:
            data, notes = export(job, scheme)
            with whole(path) as part:
                part.write_bytes(data)
            figures, scores[scheme] = prove(path, run, reference, options.tolerance)
        except Exception as error:  # whatever a converter or a runtime throws concerns this scheme alone
            if scheme == BASELINE:
                raise UserError(f"{model_path}: the converter or every runtime refuses it: {error}") from error
            skipped[scheme] = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            path.unlink(missing_ok=True)
            print(f"{scheme}: left out: {skipped[scheme]}", flush=True)
            continue
        variant = {"scheme": scheme, "file": path.name, "bytes": len(data), "gzip_bytes": len(gzip.compress(data))}
        variants.append({**variant, **figures, **notes, "layers": layer_bytes(data)})
        print(f"{scheme}: accuracy {figures['accuracy']:.2%}, {figures['verdict']}", flush=True)

    chosen, why, good = choose(variants, options.tolerance, options.prefer)
    with whole(folder / "best.tflite") as part:
        part.write_bytes((folder / chosen["file"]).read_bytes())
    explained = "int8" in scores
    report = {
        "reference": {
            **reference_figures(reference, truth, run.spec.labels),
            "bytes": next(variant["bytes"] for variant in variants if variant["scheme"] == BASELINE),
            "pictures": len(truth),
            "parameters": model.count_params(),
        },
        "labels": list(run.spec.labels),
        "variants": variants,
        "skipped": skipped,
        "tolerance_points": options.tolerance,
        "confidence": CONFIDENCE,
        "rules": RULES,
        "calibration_pictures": len(calibration),
        "calibration_sweep": calibration_sweep(job, run, reference) if explained else [],
        "noise": noise_by_layer(job) if explained else [],
        "prefer": options.prefer,
        "chosen": chosen["scheme"],
        "why": why,
    }
    write_json(folder / "report.json", report)
    write_report(folder / "report.html", report, run, reference, scores, DEBUGGED)
    print_table(variants, chosen["scheme"])
    print(f"chosen: {chosen['scheme']}, {why}: {folder / 'best.tflite'}; see {folder / 'report.html'}")
    if not good and len(variants) > 1:
        losses = ", ".join(
            f"{row['scheme']} loses {row['drop_points']:.2f}" for row in variants if row["scheme"] != BASELINE
        )
        untried = [name for name in ("selective-int8", "qat-int8", "int16x8", "float16") if name not in schemes]
        print(
            f"accuracy is not kept: {losses} points on {len(truth)} validation pictures, where {options.tolerance} are "
            f"allowed; best.tflite is the float model; try {f'--scheme {chr(32).join(untried)}, ' if untried else ''}"
            "a higher --tolerance, or more pictures",
            file=sys.stderr,
        )
        return 1
    if chosen["verdict"] != "pass":
        print(f"warning: {chosen['scheme']} is {chosen['verdict']}", file=sys.stderr)
    print(f"next: python -m edge run {folder / 'best.tflite'} --source 0")
    return 0


def print_table(variants: list[dict[str, Any]], chosen: str) -> None:
    """The variants side by side, for a terminal."""
    print(f"\n  {'scheme':<18} {'accuracy':>9} {'drop':>7} {'agree':>8} {'MB':>7} {'ms (p50)':>9}  verdict")
    for row in variants:
        mark = "*" if row["scheme"] == chosen else " "
        print(
            f"{mark} {row['scheme']:<18} {row['accuracy']:>9.2%} {row['drop_points']:>7.2f} {row['agreement']:>8.2%} "
            f"{row['bytes'] / 1e6:>7.2f} {row['latency_ms']['p50']:>9.1f}  {row['verdict']}"
        )
    print()


if __name__ == "__main__":
    run_command(main)
