"""Classifies pictures and live frames with a `.tflite` file.

python -m edge classify best.tflite horse.jpg human.jpg
python -m edge run best.tflite --source 0 --window
python -m edge run best.tflite --source clip.mp4 --record out.mp4 --json
python -m edge info best.tflite
python -m edge selftest ~/frostlite/current
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from edge.cli import number, run_command
from edge.errors import UserError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m edge", description="Classify pictures and live frames.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|classify|info|selftest")

    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("model", metavar="MODEL", type=Path, help="a .tflite file")
    how = argparse.ArgumentParser(add_help=False)
    how.add_argument("--threads", metavar="N", type=number(int, 1, 64), help="default: one per core")
    how.add_argument("--runtime", metavar="NAME", help="ai-edge-litert or tflite-runtime; default: the first found")
    how.add_argument("--top-k", metavar="N", type=number(int, 1), default=3, help="labels to tell; default: 3")
    how.add_argument("--json", action="store_true", help="one JSON object a picture or frame on standard output")

    run = commands.add_parser("run", parents=[model, how], help="classify the frames of a camera, video or folder")
    run.add_argument("--source", default="0", help="camera number, /dev/videoN, video, folder or pattern; default: 0")
    run.add_argument("--record", metavar="FILE", type=Path, help="write an annotated video (.mp4 or .avi)")
    run.add_argument("--sheet", metavar="FILE", type=Path, help="write a picture of annotated frames side by side")
    run.add_argument("--window", action="store_true", help="show the annotated frames; q ends")
    run.set_defaults(function=run_live)

    classify = commands.add_parser("classify", parents=[model, how], help="one line an image")
    classify.add_argument("images", metavar="IMAGE", nargs="+", type=Path)
    classify.set_defaults(function=classify_images)

    info = commands.add_parser("info", parents=[model], help="what the model says of itself")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(function=show_info)

    test = commands.add_parser("selftest", help="whether this machine gives the scores that a bundle carries")
    test.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder of an unpacked bundle")
    test.add_argument("--runtime", metavar="NAME", help="default: the first found")
    test.add_argument("--json", action="store_true", help="as JSON")
    test.set_defaults(function=run_selftest)
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    return options.function(options)


def run_live(options: argparse.Namespace) -> int:
    from edge.classifier import Classifier
    from edge.live import run, tell
    from edge.sinks import JsonLines, Recorder, Sheet, Sink, Terminal, Window
    from edge.sources import open_source
    from edge.watchdog import watchdogs

    with Classifier(options.model, threads=options.threads, runtime=options.runtime, top_k=options.top_k) as classifier:
        sinks: list[Sink] = [JsonLines() if options.json else Terminal(), *watchdogs()]
        if options.window:
            sinks.append(Window())
        source = open_source(options.source)
        if options.record:
            sinks.append(Recorder(options.record, source.fps or 10))
        if options.sheet:
            sinks.append(Sheet(options.sheet))
        summary = run(classifier, source, sinks)
    tell(summary, source.skipped)
    if source.skipped and not summary["frames"]:
        raise UserError(f"--source: {options.source}: no readable picture in it")
    return 0


def classify_images(options: argparse.Namespace) -> int:
    from edge.classifier import Classifier
    from edge.pictures import read_picture
    from edge.sinks import as_json

    failed = 0
    with Classifier(options.model, threads=options.threads, runtime=options.runtime, top_k=options.top_k) as classifier:
        for path in options.images:
            try:
                result = classifier.classify(read_picture(path))
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                failed += 1
                continue
            if options.json:
                print(json.dumps(as_json(0, str(path), result), ensure_ascii=False), flush=True)
            else:
                print(f"{path}: " + "  ".join(f"{label} {score:.1%}" for label, score in result.top), flush=True)
    return 2 if failed else 0


def show_info(options: argparse.Namespace) -> int:
    from edge.contract import read_model

    file = read_model(options.model)
    if file.spec is None:
        raise UserError(f"{options.model}: expected a model with labels and preprocessing in it (frostlite.json)")
    facts = {"file": str(options.model), "bytes": options.model.stat().st_size, **asdict(file.spec)}
    if options.json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        for name, value in facts.items():
            print(f"{name:<13} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}")
    return 0


def run_selftest(options: argparse.Namespace) -> int:
    from edge.selftest import TOLERANCE, selftest

    found = selftest(options.bundle, options.runtime)
    if options.json:
        print(json.dumps(asdict(found)))
    else:
        print(
            f"self-test: {found.pictures - len(found.failures)} of {found.pictures} pictures as expected with "
            f"{found.runtime}; {found.identical} to the last bit, largest difference {found.largest:.4f} "
            f"(allowed: {TOLERANCE}), {found.tensors} input tensors to the last bit"
        )
        for failure in found.failures:
            print(f"self-test failed: {failure}", file=sys.stderr)
    return 1 if found.failures else 0


if __name__ == "__main__":
    run_command(main)
