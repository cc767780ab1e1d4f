"""Trains a classifier on a folder of photos.

    python -m train --data photos --out runs/photos
    python -m train --data photos --out runs/photos --dropout 0.5 --epochs 100 --seed 7

`photos` has one folder per class, either below `train/` and `validation/` or on one level that is split here.
"""

import argparse
import sys
import time
from pathlib import Path

from edge.cli import number, run_command
from edge.errors import UserError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m train", description="Train a classifier on a folder of photos.")
    parser.add_argument("--data", metavar="DIR", required=True, help="folder of photos, or: sample, horses-or-humans")
    parser.add_argument("--out", metavar="RUN", required=True, type=Path, help="run directory to write")
    parser.add_argument("--backbone", metavar="NAME", default="efficientnet-lite0", help="default: %(default)s")
    parser.add_argument("--weights", metavar="imagenet|none", default="imagenet", help="default: %(default)s")
    parser.add_argument("--size", metavar="PX", type=number(int, 32, 1024), help="input side; default: the backbone's")
    parser.add_argument(
        "--resize", metavar="MODE", default="stretch", help="stretch, crop or pad; default: %(default)s"
    )
    parser.add_argument("--head", metavar="KIND", default="pool", help="pool or flatten; default: %(default)s")
    parser.add_argument(
        "--dropout", metavar="SHARE", type=number(float, 0, 0.99), default=0.2, help="default: %(default)s"
    )
    parser.add_argument("--output", metavar="KIND", default="softmax", help="softmax or sigmoid; default: %(default)s")
    parser.add_argument(
        "--learning-rate", metavar="X", type=number(float, 0), default=1e-3, help="default: %(default)s"
    )
    parser.add_argument("--epochs", metavar="N", type=number(int, 1), default=40, help="at most; default: %(default)s")
    parser.add_argument("--batch", metavar="N", type=number(int, 1), default=32, help="default: %(default)s")
    parser.add_argument("--seed", metavar="N", type=number(int, 0), default=0, help="default: %(default)s")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    started = time.perf_counter()

    from train.dataset import load_dataset
    from train.named import data_folder

    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"--out: expected a folder, found a file: {options.out}")
    data = load_dataset(data_folder(options.data), seed=options.seed)
    counts = f"{len(data.train)} training and {len(data.validation)} validation pictures"
    say(f"{data.root}: {counts} of {', '.join(data.labels)}")
    for path, reason in list(data.skipped.items())[:10]:
        say(f"skipped {path}: {reason}")
    if data.skipped:
        say(f"skipped {len(data.skipped)} pictures that could not be read")
    for train_path, validation_path in data.leaked[:10]:
        say(f"warning: the same picture in both splits: {train_path} and {validation_path}")
    if data.leaked:
        say(f"warning: {len(data.leaked)} validation pictures are also training pictures: the accuracy will flatter")

    import numpy as np

    from edge.contract import ModelSpec
    from edge.files import whole
    from train.backbones import build_backbone
    from train.features import extract
    from train.fit import as_scores, fit_head
    from train.keras import keras
    from train.measure import predict
    from train.model import build_classifier, split_at_features
    from train.report import confusion_matrix, draw_confusion, draw_curves, write_history
    from train.rundir import METRICS, MODEL, write_json, write_run
    from train.threshold import calibrate, fold_temperature, in_contract

    keras.utils.set_random_seed(options.seed)
    base, backbone = build_backbone(options.backbone, options.weights, options.size)
    try:
        spec = ModelSpec(
            labels=data.labels,
            size=base.input_shape[1:3],
            resize=options.resize,
            mean=backbone.mean,
            std=backbone.std,
            backbone=options.backbone,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    model = build_classifier(base, len(data.labels), options.head, options.dropout, options.output)
    extractor, head = split_at_features(model)

    clock = time.perf_counter()
    features = extract(extractor, spec, [*data.train, *data.validation])
    seconds = {"features": time.perf_counter() - clock}
    truth = np.array([picture.label for picture in [*data.train, *data.validation]])
    train, validation = slice(0, len(data.train)), slice(len(data.train), len(truth))
    say(f"features of {len(features.rows)} pictures: {features.computed} computed, the others known")

    clock = time.perf_counter()
    fit = fit_head(
        head,
        (features.part(train), truth[train]),
        (features.part(validation), truth[validation]),
        options.epochs,
        options.batch,
        options.learning_rate,
        seed=options.seed,
    )
    seconds["fit"] = time.perf_counter() - clock

    # The figures of the finished model: validation through the whole of it, training through its head on the features
    # that its frozen part has given, dropout off.
    scores = predict(model, spec, data.validation)
    fitted = calibrate(scores, truth[validation])
    fold_temperature(model, fitted.temperature)
    spec = in_contract(spec, fitted)
    predicted = scores.argmax(axis=1)
    on_train = as_scores(head.predict(features.part(train)[:], batch_size=256, verbose=0)).argmax(axis=1)
    matrix = confusion_matrix(truth[validation], predicted, len(data.labels))
    write_run(options.out, spec, data)
    with whole(options.out / MODEL) as part:
        model.save(part)
    write_history(options.out / "history.csv", fit)
    draw_curves(options.out / "curves.png", fit)
    draw_confusion(options.out / "confusion.png", matrix, data.labels, f"{len(predicted)} validation pictures")
    seconds["total"] = time.perf_counter() - started
    metrics = {
        "backbone": options.backbone,
        "labels": list(data.labels),
        "images": {"train": len(data.train), "validation": len(data.validation)},
        "skipped": len(data.skipped),
        "train_accuracy": float((on_train == truth[train]).mean()),
        "validation_accuracy": float((predicted == truth[validation]).mean()),
        "epochs": len(fit.history),
        "best_epoch": fit.best_epoch,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
    }
    write_json(options.out / METRICS, metrics)
    say(
        f"accuracy: {metrics['train_accuracy']:.2%} on training, {metrics['validation_accuracy']:.2%} on validation "
        f"(epoch {fit.best_epoch} of {len(fit.history)}), {seconds['total']:.0f} s; see {options.out}/curves.png"
    )
    say(f"next: python -m convert {options.out}")
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr if text.startswith(("warning", "skipped")) else sys.stdout, flush=True)


if __name__ == "__main__":
    run_command(main)
