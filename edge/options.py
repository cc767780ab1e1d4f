"""The command line of `python -m edge`."""

import argparse
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from edge.cli import Parser, number
from edge.sinks.parts import parse_keep
from edge.sinks.table import SINKS


def parse_arguments() -> argparse.Namespace:
    """Those of the command line; `command` is the name of the command."""
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

    classify = commands.add_parser("classify", parents=[model, how], help="classify pictures, one line each")
    classify.add_argument("images", metavar="IMAGE", nargs="+", type=Path)
    classify.add_argument(
        "--why",
        metavar="OUT",
        type=Path,
        help="draw what speaks for the label, and what for the next; for several pictures, a folder",
    )

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

    bench = commands.add_parser(
        "bench", parents=[model_options("+")], help="measure time per stage, cold start and memory"
    )
    bench.add_argument("--source", help="frames of this; default: a 640x480 pattern")
    bench.add_argument("--frames", metavar="N", type=number(int, 10), default=100, help="default: 100")
    bench.add_argument("--threads", metavar="N", type=number(int, 1, 64), nargs="+", help="default: 1 to all cores")
    bench.add_argument("--runtime", metavar="NAME", help="ai-edge-litert or tflite-runtime; default: the first found")
    bench.add_argument("--json", action="store_true", help="one JSON object with everything")

    info = commands.add_parser("info", parents=[model], help="what the model file says about itself")
    info.add_argument("--json", action="store_true", help="as JSON")

    test = commands.add_parser("selftest", help="whether this machine gives the scores that a bundle carries")
    test.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder of an unpacked bundle")
    test.add_argument("--runtime", metavar="NAME", help="default: the first found")
    test.add_argument("--json", action="store_true", help="as JSON")
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
