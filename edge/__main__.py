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
import os
import re
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.cli import Parser, number, run_command
from edge.errors import UserError
from edge.sinks.parts import parse_keep
from edge.sinks.table import SINKS
from edge.text import one_line


def parse_arguments() -> argparse.Namespace:
    parser = Parser("python -m edge", description="Classify pictures and live frames.")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="run|classify|collect|teach|bench|info|selftest"
    )
    model, how, camera = model_options(), classify_options(), camera_options()

    run = commands.add_parser(
        "run",
        parents=[model, how, camera],
        help="classify the frames of a camera, video or folder",
        epilog="FROSTLITE_OPTIONS in the environment holds further arguments: passwords in it do not show in ps.",
    )
    run.add_argument(
        "--smooth",
        metavar="HOW",
        help="none, weight of the newest frame, or votes as 3/5; default: 0.3 live, else none",
    )
    run.add_argument(
        "--hysteresis",
        metavar="SCORE",
        type=number(float, 0, 1),
        default=0.1,
        help="lead that a new label needs; default: 0.1",
    )
    for name, kind in SINKS.items():
        value: dict[str, Any] = {"action": "store_true"} if kind.metavar is None else {"metavar": kind.metavar}
        run.add_argument(f"--{name}", help=kind.help, **value)
    run.add_argument(
        "--save-dir", metavar="DIR", default="collected", help="where the page's button saves; default: collected"
    )
    run.add_argument(
        "--keep",
        metavar="LIMIT",
        type=parse_keep,
        help="of --csv and --record: 30d, 500MB, 2GB each; files in parts, of which the oldest are deleted",
    )
    run.set_defaults(function=run_live)

    classify = commands.add_parser("classify", parents=[model, how], help="classify pictures, one line each")
    classify.add_argument("images", metavar="IMAGE", nargs="+", type=Path)
    classify.add_argument(
        "--why",
        metavar="OUT",
        type=Path,
        help="draw what speaks for the label, and what for the next; for several pictures, a folder",
    )
    classify.set_defaults(function=classify_images)

    collect = commands.add_parser("collect", parents=[camera], help="save frames under a label, to train on")
    collect.add_argument("--label", required=True, help="what the frames show")
    collect.add_argument("--out", metavar="DIR", required=True, type=Path, help="writes DIR/LABEL/TIME.jpg")
    collect.add_argument(
        "--count",
        metavar="N",
        type=number(int, 1),
        help="a burst of N frames; default: one for each Enter or Space",
    )
    collect.add_argument(
        "--every",
        metavar="SECONDS",
        type=number(float, 0, 86400),
        default=0.5,
        help="pause within a burst; default: 0.5",
    )
    collect.add_argument("--preview", metavar="[HOST:]PORT", help="serve a page with the picture and a button")
    collect.add_argument("--window", action="store_true", help="show the frames; Space saves one, q ends")
    collect.set_defaults(function=collect_frames)

    teach = commands.add_parser(
        "teach", parents=[camera_options(None)], help="new labels by a few frames each, on this machine"
    )
    teach.add_argument("model", metavar="MODEL", type=Path, help="a .tflite file of FrostLite, or of make backbone")
    teach.add_argument(
        "--data", metavar="DIR", type=Path, help="photos, DIR/LABEL/…; frames are kept there too; default: photos"
    )
    teach.add_argument("--out", metavar="FILE", type=Path, default=Path("taught.tflite"), help="default: taught.tflite")
    teach.add_argument("--label", metavar="NAME", nargs="+", help="labels that the page starts with")
    teach.add_argument("--keep", action="store_true", help="go on from the labels that MODEL has")
    teach.add_argument("--preview", metavar="[HOST:]PORT", help="serve the page with a button for each label")
    teach.add_argument("--threads", metavar="N", type=number(int, 1, 64), help="default: one per core")
    teach.add_argument("--runtime", metavar="NAME", help="ai-edge-litert or tflite-runtime; default: the first found")
    teach.set_defaults(function=teach_labels)

    bench = commands.add_parser(
        "bench", parents=[model_options("+")], help="measure time per stage, cold start and memory"
    )
    bench.add_argument("--source", help="frames of this; default: a 640x480 pattern")
    bench.add_argument("--frames", metavar="N", type=number(int, 10), default=100, help="default: 100")
    bench.add_argument("--threads", metavar="N", type=number(int, 1, 64), nargs="+", help="default: 1 to all cores")
    bench.add_argument("--runtime", metavar="NAME", help="ai-edge-litert or tflite-runtime; default: the first found")
    bench.add_argument("--json", action="store_true", help="one JSON object with everything")
    bench.set_defaults(function=bench_models)

    info = commands.add_parser("info", parents=[model], help="what the model file says about itself")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(function=show_info)

    test = commands.add_parser("selftest", help="whether this machine gives the scores that a bundle carries")
    test.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder of an unpacked bundle")
    test.add_argument("--runtime", metavar="NAME", help="default: the first found")
    test.add_argument("--json", action="store_true", help="as JSON")
    test.set_defaults(function=run_selftest)
    return parser.parse_args(arguments(parser))


def arguments(parser: Parser) -> list[str]:
    """Those of the command line, and for `run` those of FROSTLITE_OPTIONS, which no child process inherits."""
    given = sys.argv[1:]
    if given[:1] != ["run"]:
        return given
    try:
        words = shlex.split(os.environ.pop("FROSTLITE_OPTIONS", ""))
        return given + [re.sub(r"^(--[\w-]+=)?~(?=/|$)", _home, word) for word in words]
    except ValueError as error:
        parser.error(f"FROSTLITE_OPTIONS: {error}")


def _home(found: re.Match[str]) -> str:
    """No shell has seen the ~ of FROSTLITE_OPTIONS."""
    return (found[1] or "") + str(Path.home())


def model_options(count: str | None = None) -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument("model", metavar="MODEL", type=Path, nargs=count, help="a .tflite file, or a zip with one")
    foreign = parser.add_argument_group("a model that FrostLite did not make: what its own metadata do not say")
    foreign.add_argument("--labels", metavar="FILE", help="one label a line, or JSON, CSV, YAML")
    foreign.add_argument("--mean", metavar="X[,X,X]", type=numbers, help="of pixels, in RGB order")
    foreign.add_argument("--std", metavar="X[,X,X]", type=numbers, help="of pixels; the input is (pixel - mean) / std")
    foreign.add_argument("--resize", choices=("stretch", "crop", "pad"), help="how frames fit the input")
    return parser


def numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers as 127.5 or 124,117,104, found {text!r}") from None


def classify_options() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument("--threads", metavar="N", type=number(int, 1, 64), help="default: one per core")
    parser.add_argument("--runtime", metavar="NAME", help="ai-edge-litert or tflite-runtime; default: the first found")
    parser.add_argument("--top-k", metavar="N", type=number(int, 1), default=3, help="labels to show; default: 3")
    parser.add_argument(
        "--threshold", metavar="SCORE", type=number(float, 0, 1), help="below it: unknown; default: the model's"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a picture or frame on standard output")
    return parser


def camera_options(source: str | None = "0") -> Parser:
    from edge.sources.view import parse_region

    parser = Parser(add_help=False)
    parser.add_argument(
        "--source",
        default=source,
        help="0, /dev/video2, picamera2[:N], rtsp://…, http://…, - (JPEGs), test:, video, folder, pattern; default: 0",
    )
    parser.add_argument(
        "--list-sources", action=ListSources, nargs=0, help="list the cameras and their modes, and exit"
    )
    parser.add_argument(
        "--width",
        metavar="PX",
        type=number(int, 16, 16384),
        help="ask the camera for this; --height and --fps likewise",
    )
    parser.add_argument("--height", metavar="PX", type=number(int, 16, 16384))
    parser.add_argument(
        "--fps",
        metavar="N",
        type=number(float, 0.1, 1000),
        help="at most so many frames a second, from any live source",
    )
    parser.add_argument(
        "--fourcc", metavar="CODE", type=four_letters, help="pixel format to ask a USB camera for; default: MJPG"
    )
    parser.add_argument(
        "--rotate",
        metavar="DEGREES",
        type=int,
        choices=(0, 90, 180, 270),
        default=0,
        help="turn the frames clockwise: 90, 180, 270",
    )
    parser.add_argument("--mirror", action="store_true", help="flip left and right")
    parser.add_argument("--roi", metavar="X,Y,W,H", type=parse_region, help="use only this part of the turned frame")
    return parser


def four_letters(text: str) -> str:
    if len(text) != 4 or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"expected four letters as MJPG or YUYV, found {text!r}")
    return text


class ListSources(argparse.Action):
    """Like --help: prints and ends, whatever else is missing."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from edge.sources.cameras import list_sources

        found = list_sources()
        for camera in found:
            print(f"{camera.source:<14} {camera.name}")
            for mode in camera.modes:
                print(f"{'':<14}   {mode}")
        if not found:
            print("no camera found; --source test: gives a moving pattern", file=sys.stderr)
        parser.exit()


def main() -> int:
    options = parse_arguments()
    return options.function(options)


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


if __name__ == "__main__":
    run_command(main)
