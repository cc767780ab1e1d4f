"""The whole way of `python -m convert`: every scheme that is wanted, its proof, the choice, and the report."""

import argparse
import gzip
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.calibrate import choose_pictures, folder_pictures
from convert.choose import choose
from convert.export import export, widen
from convert.int8_head import lesson_of
from convert.investigate import calibration_sweep, layer_bytes, noise_by_layer, weights
from convert.job import Job, augmentation_of
from convert.load import load_model, one_line
from convert.own import as_probabilities, check_outputs, own_run
from convert.parity import prove
from convert.report import write_report
from convert.schemes import BASELINE, SCHEMES
from convert.selective import DEBUGGED
from convert.stats import CONFIDENCE, RULES, judge, reference_figures
from edge.errors import UserError
from edge.files import whole
from train.dataset import Picture
from train.keras import keras
from train.measure import predict
from train.progress import waiting
from train.rundir import MODEL, Run, write_json

# What to try where int8 loses too much, the likeliest first.
REMEDIES = "selective-int8", "qat-int8", "int16x8", "float16"


def convert(options: argparse.Namespace, run: Run | None) -> int:
    """Convert by the options of the command line; the exit status: 1 if no quantized variant keeps the accuracy.

    Args:
        run: None for a model that was trained elsewhere.
    """
    schemes = wanted(options.scheme)
    path = run.folder / MODEL if run else options.run
    run = run or own_run(options.run, options.data, options.spec, options.out)
    model, spec = as_probabilities(loaded(path, run), run.spec)
    run = replace(run, spec=spec)
    source = folder_pictures(options.calibration_dir) if options.calibration_dir else run.train
    calibration = choose_pictures(never_validation(source, run), options.calibration)
    job = Job(widen(model), run.spec, run.train, calibration, options.tolerance, augmentation_of(run), lesson_of(run))
    reference = predict(model, run.spec, run.validation)
    folder = run.folder / "export"

    variants: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    scores: dict[str, np.ndarray] = {}
    for scheme in schemes:
        try:
            variant, scores[scheme] = make_variant(job, scheme, folder, run, reference)
        except Exception as error:  # whatever a converter or a runtime throws concerns this scheme alone
            if scheme == BASELINE:
                raise UserError(f"{path}: the converter or every runtime refuses it: {one_line(error)}") from error
            skipped[scheme] = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            (folder / f"{scheme}.tflite").unlink(missing_ok=True)
            print(f"{scheme}: left out: {skipped[scheme]}", flush=True)
        else:
            variants.append(variant)
            print(f"{scheme}: accuracy {variant['accuracy']:.2%}", flush=True)

    for variant, verdict in zip(variants, judge(variants, len(run.validation), options.tolerance), strict=True):
        variant["verdict"] = verdict
    chosen, why, good = choose(variants, options.tolerance, options.prefer)
    with whole(folder / "best.tflite") as part:
        part.write_bytes((folder / chosen["file"]).read_bytes())
    truth = np.array([picture.label for picture in run.validation])
    with waiting("explaining"):
        int8 = next((variant for variant in variants if variant["scheme"] == "int8"), None)
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
            "calibration_sweep": calibration_sweep(job, run, reference, int8) if int8 else [],
            "noise": noise_by_layer(job) if int8 else [],
            "prefer": options.prefer,
            "chosen": chosen["scheme"],
            "why": why,
        }
        write_json(folder / "report.json", report)
        write_report(folder / "report.html", report, run, reference, scores, DEBUGGED)
    print_table(variants, chosen["scheme"])
    print(f"chosen: {chosen['scheme']}, {why}: {folder / 'best.tflite'}; see {folder / 'report.html'}")
    if not good and len(schemes) > 1:
        print(advice(variants, schemes, options.tolerance, len(truth)), file=sys.stderr)
        return 1
    if chosen["verdict"] != "pass":
        print(f"warning: {chosen['scheme']} is {chosen['verdict']}", file=sys.stderr)
    print(f"next: python -m edge run {folder / 'best.tflite'} --source 0")
    return 0


def wanted(names: list[str]) -> list[str]:
    """The schemes that the command line names, and always the baseline, in the order of the table.

    Raises:
        UserError: if there is no such scheme.
    """
    unknown = [name for name in names if name not in (*SCHEMES, "all")]
    if unknown:
        raise UserError(f"--scheme: expected all or names out of {', '.join(SCHEMES)}, found {', '.join(unknown)}")
    return [name for name in SCHEMES if name == BASELINE or name in names or "all" in names]


def loaded(path: Path, run: Run) -> keras.Model:
    """The Keras model, whose input is what the contract says.

    Raises:
        UserError: if it cannot be read, or its input or output is another one.
    """
    with waiting("loading the model"):
        model = load_model(path, run.spec)
    expected = (None, *run.spec.size, 3)
    if model.input_shape != expected:
        raise UserError(f"{path}: by its contract its input is {expected}, found {model.input_shape}")
    outputs, labels = model.output_shape, len(run.spec.labels)
    if outputs[1:] not in ((labels,), (1,) if labels == 2 else (labels,)):
        raise UserError(f"{path}: by its contract it gives one value for each of {labels} labels, found {outputs}")
    if not run.metrics:  # trained elsewhere
        with waiting("looking at its outputs"):
            check_outputs(model, run, path)
    return model


def never_validation(pictures: Sequence[Picture], run: Run) -> list[Picture]:
    """The pictures without copies of those that the proof is made on.

    Raises:
        UserError: if none remains.
    """
    held_out = {picture.digest for picture in run.validation}
    remaining = [picture for picture in pictures if picture.digest not in held_out]
    if not remaining:
        raise UserError("calibration: expected pictures that are not among those of validation, found none")
    return remaining


def make_variant(
    job: Job, scheme: str, folder: Path, run: Run, reference: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    """Write the file of one scheme and prove it; its row of the report, and its scores (pictures, labels)."""
    path = folder / f"{scheme}.tflite"
    with waiting(f"{scheme}: converting"):
        data, notes = export(job, scheme)
    with whole(path) as part:
        part.write_bytes(data)
    figures, scores = prove(path, run, reference, job.tolerance)
    variant = {"scheme": scheme, "file": path.name, "bytes": len(data), "gzip_bytes": len(gzip.compress(data))}
    return {**variant, **figures, **notes, **weights(data), "layers": layer_bytes(data)}, scores


def advice(variants: list[dict[str, Any]], schemes: list[str], tolerance: float, pictures: int) -> str:
    """What went wrong where no variant passes, and what to try."""
    losses = ", ".join(
        f"{row['scheme']} loses {row['drop_points']:.2f}" for row in variants if row["scheme"] != BASELINE
    )
    untried = [name for name in REMEDIES if name not in schemes]
    what = f"accuracy is not kept: {losses} points on {pictures} validation pictures, where {tolerance} are allowed"
    remedies = [f"--scheme {' '.join(untried)}"] if untried else []
    remedies += ["a higher --tolerance, or more pictures"] if losses else []
    return (
        f"{what if losses else 'no quantized variant could be made'}; best.tflite is the float model"
        f"{'; try ' + ', '.join(remedies) if remedies else ''}"
    )


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
