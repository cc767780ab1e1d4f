"""The command line of `python -m train`. Every default stands here."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from edge.cli import Parser, number
from edge.errors import UserError
from edge.model.likeness import REFUSED

BACKBONE = "efficientnet-lite0"

# What a fit in epochs takes, and its defaults. Whoever names one of them wants epochs.
EPOCHS = {
    "epochs": 40,
    "batch": 32,
    "optimizer": "adam",
    "learning_rate": 3e-3,
    "patience": 10,
    "stop_at_train_accuracy": None,
    "label_smoothing": 0.0,
    "mixup": 0.0,
}


@dataclass(frozen=True)
class Options:
    """The flags of the command line, by their names; `--help` says what each is."""

    data: str
    out: Path
    seed: int
    list_backbones: bool
    list_layers: str | None
    study: str | None
    doctor: bool
    apply: Path | None
    minutes: float
    prefer: str
    backbone: str
    weights: str
    width: float | None
    cut: str | None
    size: int | None
    resize: str
    unit_inputs: bool
    head: str
    taps: str
    dense: list[int]
    dropout: float
    output: str
    fit: str
    refuse: float
    promise: float
    balance: bool
    epochs: int
    batch: int
    optimizer: str
    learning_rate: float
    patience: int
    stop_at_train_accuracy: float | None
    label_smoothing: float
    mixup: float
    tensorboard: bool
    augment: int
    augmentation: list[str]
    unfreeze: str | None
    unfreeze_epochs: int
    unfreeze_learning_rate: float | None


def parse_arguments(description: str) -> Options:
    parser = Parser("python -m train", description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", metavar="DIR", help="folder of photos, or: sample, horses-or-humans")
    add("--out", metavar="RUN", type=Path, help="run directory to write")
    add("--seed", metavar="N", type=number(int, 0), default=0, help="default: %(default)s")
    add("--list-backbones", action="store_true", help="print the backbones and what they cost, and exit")
    add("--list-layers", metavar="BACKBONE", help="print its layers, with good places to cut marked, and exit")
    add("--study", choices=["dropout"], help="fit without and with dropout on several seeds, draw both, and exit")

    add("--doctor", action="store_true", help="look for what is wrong with the photos, write doctor.csv, and exit")
    add("--apply", metavar="doctor.csv", type=Path, help="with --doctor: move the pictures as the table says, and exit")

    add = parser.add_argument_group("a search").add_argument
    add(
        "--minutes",
        metavar="N",
        type=number(float, 0),
        default=0.0,
        help="the best model that N minutes find: tries backbones, sizes, mirrored views, training of the last layers",
    )
    add(
        "--prefer",
        choices=["accuracy", "size"],
        default="accuracy",
        help="of that: the one that is right most often, or the smallest within one standard error; default: accuracy",
    )

    add = parser.add_argument_group("the model").add_argument
    add("--backbone", metavar="NAME", help=f"default: {BACKBONE}; with --minutes: those that need no network")
    add("--weights", metavar="imagenet|none|FILE", default="imagenet", help="none is random; default: %(default)s")
    add("--width", metavar="X", type=number(float, 0), help="width multiplier, where the backbone comes in several")
    add("--cut", metavar="LAYER", help="last layer of the backbone to use; default: all of it")
    add("--size", metavar="PX", type=number(int, 32, 1024), help="input side; default: the backbone's")
    add("--resize", metavar="MODE", default="stretch", help="stretch, crop or pad; default: %(default)s")
    add("--unit-inputs", action="store_true", help="pixels as 0 to 1 instead of as the backbone was trained")
    add("--head", metavar="KIND", default="pool", help="pool or flatten; default: %(default)s")
    add("--taps", choices=["all", "none"], help="use maps of several depths; default: all for pool, without --cut")
    add("--dense", metavar="UNITS", nargs="+", type=number(int, 1), default=[], help="hidden layers; default: none")
    add("--dropout", metavar="SHARE", type=number(float, 0, 0.99), default=0.2, help="default: %(default)s")
    add("--output", metavar="KIND", default="softmax", help="softmax or sigmoid; default: %(default)s")

    add = parser.add_argument_group("the fit").add_argument
    add(
        "--fit",
        choices=["auto", "lda", "logistic", "adam"],
        default="auto",
        help="solve the head (auto: the kind and strength that cross-validation finds), or adam: fit it in epochs, "
        "which is what auto does where --dense, --head flatten or a flag of the epochs asks for it; default: auto",
    )
    add(
        "--refuse",
        metavar="SHARE",
        type=number(float, 0, 0.5),
        default=REFUSED,
        help='share of the right answers that may become "unknown", so that what is foreign does; default: %(default)s',
    )
    add(
        "--promise",
        metavar="SHARE",
        type=number(float, 0, 0.5),
        default=0.0,
        help='at most this share of the answers wrong, with 95 %% confidence: the others become "unknown"',
    )
    add("--balance", action="store_true", help="weigh the classes so that each counts the same")

    add = parser.add_argument_group("epochs: each of these flags asks for them").add_argument
    add("--epochs", metavar="N", type=number(int, 1), help=f"at most; default: {EPOCHS['epochs']}")
    add("--batch", metavar="N", type=number(int, 1), help=f"default: {EPOCHS['batch']}")
    add("--optimizer", choices=["adam", "adamw", "rmsprop", "sgd"], help=f"default: {EPOCHS['optimizer']}")
    add("--learning-rate", metavar="X", type=number(float, 0), help=f"default: {EPOCHS['learning_rate']}")
    add(
        "--patience",
        metavar="N",
        type=number(int, 0),
        help=f"stop after so many epochs without a better one on validation, 0: never; default: {EPOCHS['patience']}",
    )
    add(
        "--stop-at-train-accuracy",
        metavar="SHARE",
        type=number(float, 0, 1),
        help="stop at this training accuracy, and keep that epoch instead of the best on validation",
    )
    add("--label-smoothing", metavar="SHARE", type=number(float, 0, 0.9), help="default: off")
    add("--mixup", metavar="ALPHA", type=number(float, 0, 10), help="mix examples; default: off")
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
        options.out = options.out or (Path() if options.doctor else None)
        missing = [f"--{name}" for name in ("data", "out") if getattr(options, name) is None]
        if missing:
            parser.error(f"the following arguments are required: {', '.join(missing)}")
    return resolved(options)


def resolved(options: argparse.Namespace) -> Options:
    """The flags, with what follows from others filled in.

    Raises:
        UserError: where two of them exclude each other.
    """
    if options.apply and not options.doctor:
        raise UserError("--apply: expected --doctor with it")
    if options.doctor and options.study:
        raise UserError("--doctor: expected no --study with it")
    if options.prefer == "size" and not options.minutes:
        raise UserError("--prefer size: expected --minutes with it")
    values = dict(vars(options))
    asked = [f"--{name.replace('_', '-')}" for name in EPOCHS if values[name] is not None]
    asked += ["--tensorboard"] if options.tensorboard else []
    asked += ["--dense"] if options.dense else []
    asked += ["--head flatten"] if options.head == "flatten" else []
    if options.fit in ("lda", "logistic") and asked:
        raise UserError(
            f"--fit {options.fit}: solves the head in one step; expected no {', '.join(asked)}, or --fit adam"
        )
    if options.promise and (asked or options.fit == "adam" or options.unfreeze):
        raise UserError(
            "--promise: needs answers out of fold, and those need a head that is solved on a frozen backbone"
        )
    if options.promise and options.refuse != REFUSED:
        raise UserError("--promise: sets the threshold, and so does --refuse; expected one of them")
    if options.minutes:
        _only_search(options, asked)
    values["backbone"] = options.backbone or ("" if options.minutes else BACKBONE)
    if options.fit == "auto" and asked and not options.study:
        values["fit"] = "adam"
    whole = options.head == "pool" and not options.cut
    if options.taps == "all" and not whole:
        raise UserError("--taps all: expected --head pool and no --cut")
    values["taps"] = options.taps or ("all" if whole else "none")
    for name, default in EPOCHS.items():
        if values[name] is None:
            values[name] = default
    return Options(**values)


def _only_search(options: argparse.Namespace, asked: list[str]) -> None:
    """Raise UserError for what excludes a search."""
    others = {
        "--fit adam": options.fit == "adam",
        "--study": options.study,
        "--doctor": options.doctor,
        "--augment": options.augment,
        "--unfreeze": options.unfreeze,
        "--cut": options.cut,
        "--taps none": options.taps == "none",
    }
    if found := [*asked, *(flag for flag, value in others.items() if value)]:
        raise UserError(f"--minutes: chooses the recipe by itself; expected no {', '.join(found)} with it")
    if not options.backbone and (options.weights != "imagenet" or options.width):
        raise UserError("--minutes: expected --backbone with --weights and --width, as they are of one backbone")
