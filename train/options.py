"""The command line of `python -m train`. Every default stands here."""

import argparse
from pathlib import Path

from edge.cli import Parser, number


def parse_arguments(description: str) -> argparse.Namespace:
    parser = Parser("python -m train", description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", metavar="DIR", help="folder of photos, or: sample, horses-or-humans")
    add("--out", metavar="RUN", type=Path, help="run directory to write")
    add("--seed", metavar="N", type=number(int, 0), default=0, help="default: %(default)s")
    add("--list-backbones", action="store_true", help="print the backbones and what they cost, and end")
    add("--list-layers", metavar="BACKBONE", help="print its layers, good places to cut marked, and end")
    add("--study", choices=["dropout"], help="fit without and with dropout on several seeds, draw both, and end")

    add = parser.add_argument_group("the model").add_argument
    add("--backbone", metavar="NAME", default="efficientnet-lite0", help="default: %(default)s")
    add("--weights", metavar="imagenet|none|FILE", default="imagenet", help="none is random; default: %(default)s")
    add("--width", metavar="X", type=number(float, 0), help="width multiplier, where the backbone comes in several")
    add("--cut", metavar="LAYER", help="last layer of the backbone to use; default: all of it")
    add("--size", metavar="PX", type=number(int, 32, 1024), help="input side; default: the backbone's")
    add("--resize", metavar="MODE", default="stretch", help="stretch, crop or pad; default: %(default)s")
    add("--unit-inputs", action="store_true", help="pixels as 0 to 1 instead of as the backbone was trained")
    add("--head", metavar="KIND", default="pool", help="pool or flatten; default: %(default)s")
    add("--dense", metavar="UNITS", nargs="+", type=number(int, 1), default=[], help="hidden layers; default: none")
    add("--dropout", metavar="SHARE", type=number(float, 0, 0.99), default=0.2, help="default: %(default)s")
    add("--output", metavar="KIND", default="softmax", help="softmax or sigmoid; default: %(default)s")

    add = parser.add_argument_group("the fit").add_argument
    add("--epochs", metavar="N", type=number(int, 1), default=40, help="at most; default: %(default)s")
    add("--batch", metavar="N", type=number(int, 1), default=32, help="default: %(default)s")
    add("--optimizer", choices=["adam", "adamw", "rmsprop", "sgd"], default="adam", help="default: %(default)s")
    add("--learning-rate", metavar="X", type=number(float, 0), default=3e-3, help="default: %(default)s")
    add(
        "--patience",
        metavar="N",
        type=number(int, 0),
        default=10,
        help="stop after so many epochs without a better one on validation, 0: never; default: %(default)s",
    )
    add(
        "--stop-at-train-accuracy",
        metavar="SHARE",
        type=number(float, 0, 1),
        help="stop at this training accuracy, and keep that epoch instead of the best on validation",
    )
    add("--balance", action="store_true", help="weigh the classes so that each counts the same")
    add("--label-smoothing", metavar="SHARE", type=number(float, 0, 0.9), default=0.0, help="default: off")
    add("--mixup", metavar="ALPHA", type=number(float, 0, 10), default=0.0, help="mix examples; default: off")
    add("--tensorboard", action="store_true", help="write logs for TensorBoard to RUN/tensorboard")

    add = parser.add_argument_group("views of the pictures").add_argument
    add("--augment", metavar="VIEWS", type=number(int, 0), default=0, help="views a picture; default: none")
    add(
        "--augmentation",
        metavar="NAME=VALUE",
        nargs="+",
        default=[],
        help="rotation, shift, shear, zoom, flip, light, colour, blur; a number or off",
    )

    add = parser.add_argument_group("the backbone, after the head").add_argument
    add("--unfreeze", metavar="LAYER|COUNT", help="train the backbone too, from this layer or its last COUNT layers on")
    add("--unfreeze-epochs", metavar="N", type=number(int, 1), default=10, help="at most; default: %(default)s")
    add("--unfreeze-learning-rate", metavar="X", type=number(float, 0), help="default: a tenth of --learning-rate")

    options = parser.parse_args()
    if not (options.list_backbones or options.list_layers):
        missing = [f"--{name}" for name in ("data", "out") if getattr(options, name) is None]
        if missing:
            parser.error(f"the following arguments are required: {', '.join(missing)}")
    return options
