"""The whole way of `python -m convert`: every scheme that is wanted, its proof, the choice, and the report."""

import argparse
import gzip
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.calibrate import choose_pictures, folder_pictures
from convert.choose import choose, device_latencies
from convert.device import device_runtimes
from convert.export import export
from convert.int8_head import solved_of
from convert.investigate import explain, layer_bytes, weights
from convert.job import Job, augmentation_of
from convert.known import with_known
from convert.load import one_line
from convert.own import kind_of, own_run
from convert.parity import prove, speeds
from convert.proof import Proof, Sample, proof_of
from convert.report import provenance, write_report
from convert.sanity import complaint
from convert.schemes import BASELINE, SCHEMES
from convert.stats import ALPHA, CONFIDENCE, RULES, judge, reference_figures
from convert.tell import ACCEPTED, advice, held_out_alone, print_table
from edge.errors import UserError
from edge.files import whole
from edge.model.contract import read_model
from train.dataset import Picture
from train.progress import waiting
from train.rundir import MODEL, Run, write_json
from train.space import Candidate

# Where the command line names no scheme: the first, and each next row only where none before it passed.
RESCUE = ("int8",), ("float16", "dynamic"), ("selective-int8",)
UNEXPLAINED: dict[str, Any] = {"noise": [], "noise_pictures": 0, "calibration_sweep": []}
FIRST = 0.8  # of ALPHA is for the first row; the rest is for the others together


@dataclass
class Tried:
    """What became of the schemes so far: rows of the report, scores with their pictures, and why some are left out."""

    variants: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[Sample, np.ndarray]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def quantized(self) -> list[dict[str, Any]]:
        return [row for row in self.variants if row["scheme"] != BASELINE]


def convert(options: argparse.Namespace, run: Run | None) -> int:
    """Convert by the options of the command line.

    Args:
        run: None for a model that was trained elsewhere.

    Returns:
        The exit status: 0, or 1 if no quantized variant keeps the accuracy or the model itself is no better than a
        guess, or 3 if the pictures are too few to tell and `--accept undecided` was not given.
    """
    named = wanted(options.scheme) if options.scheme else None
    bench = device_latencies(options.device_bench) if options.device_bench else {}
    own = run is None
    path = run.folder / MODEL if run else options.run
    run = run or own_run(options.run, options.data, options.spec, options.out)
    with waiting("loading the model"):
        given, spec = kind_of(path).load(path, run)
    run = replace(run, spec=spec)
    source = folder_pictures(options.calibration_dir) if options.calibration_dir else run.train
    calibration = choose_pictures(never_held_out(source, run), options.calibration)
    proof = proof_of(given, run)
    answer = proof.answer if proof.every else None
    views, solved = augmentation_of(run), solved_of(run)
    job = Job(given.wide, run.spec, run.train, calibration, options.tolerance, views, solved, answer, given.graph)
    runtimes = device_runtimes()[: None if options.runtimes == "all" else 1]
    if told := complaint(proof.held_out, run, given.answer, own):
        print(f"{path}: {told}", file=sys.stderr)
        return 1

    folder, tried = run.folder / "export", Tried()
    make(job, [BASELINE], folder, proof, runtimes, tried)
    if not tried.variants:
        raise UserError(f"{path}: the converter or every runtime refuses it: {tried.skipped[BASELINE]}")
    if named:
        make(job, [name for name in named if name != BASELINE], folder, proof, runtimes, tried)
        give_verdicts(tried.quantized(), options.tolerance, ALPHA)
    else:
        rescue(job, folder, proof, runtimes, tried)
    give_verdicts(tried.variants[:1], options.tolerance, ALPHA)
    variants = sorted(tried.variants, key=lambda row: list(SCHEMES).index(row["scheme"]))
    times = speeds([folder / row["file"] for row in variants], proof.held_out.pictures[0], runtimes[0])
    for row, latency in zip(variants, times, strict=True):
        row["latency_ms"] = latency

    chosen, why, good = choose(variants, options.tolerance, options.prefer, bench)
    with whole(folder / "best.tflite") as part:
        part.write_bytes((folder / chosen["file"]).read_bytes())
    report = {
        "reference": {
            **reference_figures(proof.sample.reference, proof.sample.truth, run.spec.labels),
            "bytes": variants[0]["bytes"],
            "pictures": len(proof.sample.truth),
            "parameters": given.parameters,
        },
        "proof": proof.as_json(),
        "provenance": provenance(folder / "best.tflite", run),
        "labels": list(run.spec.labels),
        "backbone": run.spec.backbone,
        "variants": variants,
        "skipped": tried.skipped,
        "tolerance_points": options.tolerance,
        "confidence": CONFIDENCE,
        "rules": RULES,
        "calibration_pictures": len(calibration),
        **(explain(job, proof.held_out) if options.explain and "int8" in tried.answers else UNEXPLAINED),
        "prefer": options.prefer,
        "device_latency_ms": bench,
        "chosen": chosen["scheme"],
        "why": why,
    }
    with waiting("writing the report"):
        write_json(folder / "report.json", report)
        write_report(folder / "report.html", report, run, tried.answers)
    print_table(variants, chosen["scheme"], bench)
    for line in [str(proof), *held_out_alone(variants, len(proof.sample.truth))]:
        print(f"proof: {line}")
    print(f"chosen: {chosen['scheme']}, {why}: {folder / 'best.tflite'}; see {folder / 'report.html'}")
    for row in variants:
        if row["labels_lost"]:
            print(
                f"warning: {row['scheme']} loses more than chance explains of {', '.join(row['labels_lost'])}",
                file=sys.stderr,
            )
    status = ending(chosen, good or (len(variants) == 1 and not tried.skipped), options.accept)
    if status == 1:
        print(advice(variants, tried.skipped, options.tolerance, len(proof.sample.truth)), file=sys.stderr)
        return status
    if chosen["verdict"] != "pass":
        print(f"warning: {chosen['scheme']} is {chosen['verdict']}{'' if status == 0 else ACCEPTED}", file=sys.stderr)
    print(f"next: python -m edge run {folder / 'best.tflite'} --source 0")
    return status


def ending(chosen: dict[str, Any], good: bool, accepted: list[str]) -> int:
    """The exit status, by the verdict on the variant that was chosen."""
    if not good:
        return 1
    return 0 if chosen["verdict"] == "pass" or "undecided" in accepted else 3


def rescue(job: Job, folder: Path, proof: Proof, runtimes: list[str], tried: Tried) -> None:
    """The rows of `RESCUE` until a scheme passes."""
    (first,), *others = RESCUE
    make(job, [first], folder, proof, runtimes, tried)
    give_verdicts(tried.quantized(), job.tolerance, FIRST * ALPHA)
    for schemes in others:
        if any(row["verdict"] == "pass" for row in tried.quantized()):
            return
        make(job, schemes, folder, proof, runtimes, tried)
        later = [row for row in tried.quantized() if row["scheme"] != first]
        # Over all that may yet come, so that a later row does not change the verdicts on an earlier one.
        give_verdicts(later, job.tolerance, (1 - FIRST) * ALPHA, sum(map(len, others)))


def give_verdicts(rows: list[dict[str, Any]], tolerance: float, alpha: float, together: int = 0) -> None:
    for row, verdict in zip(rows, judge(rows, tolerance, alpha, together), strict=True):
        row["verdict"] = verdict
        print(f"{row['scheme']}: accuracy {row['accuracy']:.2%}, {verdict}", flush=True)


def wanted(names: list[str]) -> list[str]:
    """The schemes that the command line names, and always the baseline, in the order of the table.

    Raises:
        UserError: if there is no such scheme.
    """
    unknown = [name for name in names if name not in (*SCHEMES, "all")]
    if unknown:
        raise UserError(f"--scheme: expected all or names out of {', '.join(SCHEMES)}, found {', '.join(unknown)}")
    return [name for name in SCHEMES if name == BASELINE or name in names or "all" in names]


def never_held_out(pictures: Sequence[Picture], run: Run) -> list[Picture]:
    """The pictures without copies of those that are held out, on which the finished file is proved.

    Raises:
        UserError: if none remains.
    """
    held_out = {picture.digest for picture in (*run.validation, *run.test)}
    remaining = [picture for picture in pictures if picture.digest not in held_out]
    if not remaining:
        raise UserError("calibration: expected pictures that are not among those of validation, found none")
    return remaining


def _cannot_train(job: Job, scheme: str) -> str | None:
    from convert.tune import refusal  # tensorflow-model-optimization takes seconds to load

    return refusal(job.model, SCHEMES[scheme].training)


def make(job: Job, schemes: Sequence[str], folder: Path, proof: Proof, runtimes: list[str], tried: Tried) -> None:
    """Write the file of each scheme and prove it; one that cannot be made or run says why, and stops no other."""
    for scheme in schemes:
        path = folder / f"{scheme}.tflite"
        try:
            if SCHEMES[scheme].training and (reason := _cannot_train(job, scheme)):
                raise UserError(reason)
            with waiting(f"{scheme}: converting"):
                data, notes = export(job, scheme)
            with whole(path) as part:
                part.write_bytes(data)
            own = Candidate(notes["head"]["kind"], notes["head"]["strength"]) if "head" in notes else None
            figures, sample, scores, features = prove(path, proof, runtimes, own, bool(SCHEMES[scheme].training))
            if features and job.solved:  # behind the graph, which stays what was proved
                data, notes["likeness"] = with_known(
                    read_model(path), features[:], features.parts, scores, job.solved, sample
                )
                with whole(path) as part:
                    part.write_bytes(data)
            tried.answers[scheme] = sample, scores
        except Exception as error:  # whatever a converter or a runtime throws concerns this scheme alone
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            tried.skipped[scheme] = f"{kind}{one_line(error)}"
            path.unlink(missing_ok=True)
            print(f"{scheme}: left out: {tried.skipped[scheme]}", flush=True)
        else:
            sizes = {"bytes": len(data), "gzip_bytes": len(gzip.compress(data, 6)), **weights(data)}
            row = {"scheme": scheme, "file": path.name, **sizes, **figures, **notes, "layers": layer_bytes(data)}
            tried.variants.append(row)
