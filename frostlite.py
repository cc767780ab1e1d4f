"""The command `frostlite`: one name for everything that `python -m train`, `convert` and `edge` do.

frostlite demo                                          the whole way on a drawn sample, in about two minutes
frostlite train --data photos --out runs/photos
frostlite convert runs/photos
frostlite run runs/photos/export/best.tflite --source 0 --preview 8080
frostlite classify runs/photos/export/best.tflite *.jpg
"""

import argparse
import runpy
import subprocess
import sys
from pathlib import Path

from edge.cli import Parser, run_command

# A command to its module, and whether the module wants to see the command as its first argument.
MODULES = {
    "train": ("train", False),
    "convert": ("convert", False),
    "bundle": ("convert.bundle", False),
    **dict.fromkeys(("run", "classify", "collect", "teach", "bench", "info", "selftest"), ("edge", True)),
}


def main() -> None:
    name, rest = (sys.argv[1] if len(sys.argv) > 1 else "--help"), sys.argv[2:]
    if name in MODULES:
        module, keep = MODULES[name]
        sys.argv = [f"frostlite {name}", *([name] if keep else []), *rest]
        runpy.run_module(module, run_name="__main__", alter_sys=False)
    elif name == "demo":
        run_command(lambda: demo(rest))
    elif name in ("-h", "--help"):
        print(f"{(__doc__ or '').strip()}\n\ncommands: demo, {', '.join(MODULES)}; each has its own --help")
    else:
        run_command(lambda: Parser("frostlite").error(f"expected demo, {', '.join(MODULES)}; found {name!r}"))


def demo(arguments: list[str]) -> int:
    """Train, quantize, prove, and classify the pictures that the model was not fitted on."""
    parser = Parser("frostlite demo", description="The whole way, on a sample that is drawn here or on your photos.")
    add = parser.add_argument
    add("--data", metavar="DIR", default="sample", help="your photos, or: sample, horses-or-humans; default: sample")
    add("--out", metavar="RUN", type=Path, default=Path("runs/sample"), help="default: runs/sample")
    add("--backbone", metavar="NAME", default="efficientnet-lite0", help="default: %(default)s")
    add("--scheme", metavar="NAME", nargs="+", default=[], help="default: those of convert")
    add("--tolerance", metavar="POINTS", default="1.0", help="default: %(default)s")
    options = parser.parse_args(arguments)
    for command in (
        ["train", "--data", options.data, "--out", options.out, "--backbone", options.backbone],
        ["convert", options.out, "--tolerance", options.tolerance, *_schemes(options)],
    ):
        if status := _python("-m", *command):
            return status
    found = subprocess.run([sys.executable, "-m", "train.rundir", options.out], stdout=subprocess.PIPE, text=True)
    pictures, model = found.stdout.rstrip("\n"), options.out / "export" / "best.tflite"
    film, sheet = options.out / "demo.mp4", options.out / "demo.png"
    live = ["edge", "run", model, "--source", pictures, "--record", film, "--sheet", sheet]
    if status := found.returncode or _python("-m", *live, quiet=True):
        return status
    print(f"look at: {film}\n         {sheet}\nnext:    frostlite run {model} --source 0    (your webcam)")
    return 0


def _schemes(options: argparse.Namespace) -> list[str]:
    return ["--scheme", *options.scheme] if options.scheme else []


def _python(*words: object, quiet: bool = False) -> int:
    """Run Python as this one; its exit status."""
    out = subprocess.DEVNULL if quiet else None
    return subprocess.run([sys.executable, *map(str, words)], stdout=out).returncode


if __name__ == "__main__":
    main()
