"""Quantizes a finished run, proves that the accuracy stays, and chooses the file for the device.

    python -m convert runs/photos
    python -m convert runs/photos --scheme int8 float16 --tolerance 0.5
    python -m convert runs/photos --scheme all --prefer size
    python -m convert mine.keras --data photos --spec spec.json --out runs/mine
    python -m convert model.tflite --data photos             # a float one, of whatever maker
    python -m convert converted_keras.zip --data photos      # as Teachable Machine hands it out
    python -m convert taught.tflite                          # of python -m edge teach: taught-folded.tflite

Writes `runs/photos/export/`: one `.tflite` a scheme, `best.tflite`, `report.html` and `report.json`. Without --scheme
that is int8, and where it does not pass, float16 and dynamic, then selective-int8. It ends with

    0  the chosen variant keeps the accuracy
    1  no quantized variant does, or the model itself is no better than a guess
    2  bad input
    3  there are too few pictures to tell (0, with a warning, after --accept undecided)
"""

import argparse
from pathlib import Path

from edge.cli import Parser, number, run_command


def parse_arguments() -> argparse.Namespace:
    parser = Parser("python -m convert", description="Quantize a run and prove its accuracy.")
    parser.add_argument("run", metavar="RUN", type=Path, help="run directory of `python -m train`, or a Keras model")
    parser.add_argument(
        "--scheme", metavar="NAME", nargs="+", help="or all; default: int8, others where it does not pass"
    )
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
        "--calibration-dir",
        metavar="DIR",
        type=Path,
        help="calibrate with these instead, such as frames of the real camera",
    )
    parser.add_argument(
        "--accept",
        choices=("undecided",),
        nargs="+",
        default=[],
        help="exit with 0 where there are too few pictures to decide",
    )
    parser.add_argument(
        "--device-bench",
        metavar="FILE",
        type=Path,
        help="choose by these times, of `python -m edge bench --json` there",
    )
    parser.add_argument(
        "--runtimes",
        choices=("first", "all"),
        default="first",
        help="which of the installed ones to prove in; default: first",
    )
    parser.add_argument("--explain", action="store_true", help="also: noise by layer, and what calibration does")
    own = parser.add_argument_group(
        "a model that was trained elsewhere (.keras, .h5, SavedModel; --data alone for a float .tflite with metadata, "
        "and for a zip of Teachable Machine)"
    )
    own.add_argument("--data", metavar="DIR", type=Path, help="its photos, as for `python -m train`")
    own.add_argument(
        "--spec", metavar="FILE", type=Path, help="JSON: labels, size, mean, std, like the spec.json of a run"
    )
    own.add_argument("--out", metavar="DIR", type=Path, help="where export/ goes")
    options = parser.parse_args()
    given = [value is not None for value in (options.data, options.spec, options.out)]
    # These may say themselves what a contract says.
    suffix = options.run.suffix.lower()
    told = (suffix in (".zip", ".tflite") and options.data) or (suffix == ".tflite" and not any(given))
    if (any(given) or options.run.is_file()) and not all(given) and not told:
        parser.error("a model that was trained elsewhere takes all of --data, --spec and --out")
    return options


def main() -> int:
    options = parse_arguments()
    if not options.data and options.run.suffix.lower() == ".tflite" and options.run.is_file():
        from convert.fold import fold

        print(f"folded: {fold(options.run)}")
        return 0
    from train.progress import waiting
    from train.rundir import read_run

    run = None if options.data else read_run(options.run)
    with waiting("loading TensorFlow"):
        from convert.gate import convert
    return convert(options, run)


if __name__ == "__main__":
    run_command(main)
