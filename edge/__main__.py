"""Classifies pictures and live frames with a `.tflite` file.

python -m edge classify best.tflite horse.jpg human.jpg
python -m edge classify best.tflite horse.jpg --why why.png
python -m edge run best.tflite --source 0 --preview 8080
python -m edge run best.tflite --source clip.mp4 --record out.mp4 --json
python -m edge run --list-sources
python -m edge collect --label horse --source 0 --out photos --count 50
python -m edge teach best.tflite --source 0 --preview 8080
python -m edge teach best.tflite --data photos
python -m edge bench best.tflite
python -m edge info best.tflite
python -m edge selftest ~/frostlite/current
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.cli import run_command
from edge.errors import UserError
from edge.options import parse_arguments
from edge.sinks.table import SINKS
from edge.text import one_line


def main() -> int:
    options = parse_arguments()
    return COMMANDS[options.command](options)


def open_model(options: argparse.Namespace, path: Path | None = None) -> Any:
    """Read the model; one without a contract gets it from its metadata and the flags."""
    from edge.model.contract import read_model

    path = path or options.model
    file = read_model(path)
    given = {name: getattr(options, name) for name in ("labels", "mean", "std", "resize")}
    given = {name: value for name, value in given.items() if value}
    if file.spec is not None:
        if given:
            raise UserError(f"{path}: it says itself what it takes; expected no --{' --'.join(given)}")
        return file
    from edge.model.foreign import adopt

    return adopt(file, **given, runtime=getattr(options, "runtime", None))


def open_classifier(options: argparse.Namespace, why: bool | None = False) -> Any:
    """The classifier of the options; `why` None: one that can show why, if the model can."""
    from edge.model.classifier import Classifier
    from edge.model.why import explains

    file = open_model(options)
    return Classifier(
        file,
        threads=options.threads,
        runtime=options.runtime,
        top_k=options.top_k,
        threshold=options.threshold,
        why=explains(file.graph, len(file.spec.labels)) if why is None else why,
    )


def run_live(options: argparse.Namespace) -> int:
    from edge.live import run, tell
    from edge.sinks.base import Sink
    from edge.sinks.queued import Queued
    from edge.sinks.text import JsonLines, Terminal
    from edge.sinks.watchdog import watchdogs
    from edge.smoothing import parse_smoothing
    from edge.sources.base import Mode
    from edge.sources.table import open_source
    from edge.sources.view import make_view

    if options.smooth is not None:
        parse_smoothing(options.smooth)  # a wrong flag is told before anything is opened
    with open_classifier(options, why=None if options.preview else False) as classifier:
        asked = Mode(options.width, options.height, options.fps, options.fourcc)
        service = watchdogs()
        # Who watches a service, a page or a broker is told there; who sits at a terminal wants to know now.
        source = open_source(options.source, asked, wait=bool(service or options.preview or options.mqtt))
        sinks: list[Sink] = [*service]
        try:
            if source.live and source.mode != Mode():
                print(f"{source.name}: {source.mode}{f' (asked: {asked})' if asked != Mode() else ''}", file=sys.stderr)
            if options.json or not service:  # the journal of a service is for changes, not for every frame
                sinks.append(Queued("stdout", JsonLines() if options.json else Terminal(), wait=not source.live))
            for name, kind in SINKS.items():
                if getattr(options, name.replace("-", "_")) not in (None, False):
                    sink = kind.open(options, classifier, source)
                    sinks.append(sink if kind.direct else Queued(name, sink, wait=not source.live))
        except BaseException:
            source.close()
            for opened in sinks:
                opened.close()
            raise
        smooth = parse_smoothing(options.smooth or ("0.3" if source.live else "none"))
        view = make_view(options.rotate, options.mirror, options.roi)
        summary = run(classifier, source, sinks, view=view, smooth=smooth, hysteresis=options.hysteresis)
    tell(summary, source.skipped)
    if source.skipped and not summary["frames"]:
        raise UserError(f"--source: {options.source}: no readable picture in it")
    return 0


def classify_images(options: argparse.Namespace) -> int:
    from edge.pictures import read_picture
    from edge.sinks.base import as_json

    failed = 0
    with open_classifier(options, why=options.why is not None) as classifier:
        for number, path in enumerate(options.images, 1):
            try:
                frame = read_picture(path)
                result = classifier.classify(frame)
                if options.why:
                    several = len(options.images) > 1
                    draw_why(
                        classifier,
                        frame,
                        result,
                        options.why / f"{number:03}-{path.stem}.png" if several else options.why,
                    )
            except UserError as error:
                print(one_line(f"error: {error}"), file=sys.stderr)
                failed += 1
                continue
            if options.json:
                print(json.dumps(as_json(0, str(path), result), ensure_ascii=False), flush=True)
            else:
                unknown = f"{result.label} ({result.why})  " if result.why else ""
                scores = "  ".join(f"{label} {score:.1%}" for label, score in result.top)
                print(f"{one_line(str(path))}: {unknown}{scores}", flush=True)
    return 2 if failed else 0


def draw_why(classifier: Any, frame: Any, result: Any, path: Path) -> None:
    """Write a picture of what speaks for the best label, and what for the next."""
    import cv2

    from edge.files import whole
    from edge.model.why import best_two, overlay
    from edge.sinks.overlay import caption

    label, rival = best_two(result.scores)
    heat, names = classifier.heat(label, rival), classifier.spec.labels
    drawn = caption(overlay(frame, heat, classifier.spec), f"{names[label]} {heat.mean():+.1f} against {names[rival]}")
    try:
        image = cv2.imencode(path.suffix, drawn)[1].tobytes()
    except cv2.error:
        raise UserError(f"--why: expected a name such as out.png or out.jpg, found {path}") from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            part.write_bytes(image)
    except OSError as error:
        raise UserError(f"--why: {path}: cannot write there: {error.strerror}") from error


def collect_frames(options: argparse.Namespace) -> int:
    from edge.collect import collect

    return collect(options)


def teach_labels(options: argparse.Namespace) -> int:
    from edge.model.contract import read_model
    from edge.teach import teach

    return teach(options, read_model(options.model))


def bench_models(options: argparse.Namespace) -> int:
    from edge.bench import bench

    return bench(options, [open_model(options, path) for path in options.model])


def show_info(options: argparse.Namespace) -> int:
    file = open_model(options)
    facts = {"file": str(options.model), "bytes": options.model.stat().st_size, **asdict(file.spec)}
    if options.json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        for name, value in facts.items():
            print(f"{name:<13} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}")
    return 0


def run_selftest(options: argparse.Namespace) -> int:
    from edge.selftest import ALIKE, TOLERANCE, selftest

    found = selftest(options.bundle, options.runtime)
    if options.json:
        print(json.dumps(asdict(found)))
    else:
        print(
            f"self-test: {found.passed} of {found.pictures} pictures as expected with "
            f"{found.runtime}; {found.identical} to the last bit, largest difference {found.largest:.4f} "
            f"(allowed: {TOLERANCE}), {found.tensors} input tensors to the last bit"
        )
        if found.likeness is not None:
            print(f"self-test: features: smallest cosine to the expected ones {found.likeness:.4f} (allowed: {ALIKE})")
        for failure in found.failures:
            print(f"self-test failed: {failure}", file=sys.stderr)
    return 1 if found.failures else 0


COMMANDS = {
    "run": run_live,
    "classify": classify_images,
    "collect": collect_frames,
    "teach": teach_labels,
    "bench": bench_models,
    "info": show_info,
    "selftest": run_selftest,
}


if __name__ == "__main__":
    run_command(main)
