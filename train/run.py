"""One run: pictures to features, features to a fitted head, perhaps the backbone too, and the run directory."""

import argparse
import hashlib
import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import UserError
from edge.files import whole
from edge.model.contract import ModelSpec
from train.augment import Augmentation, parse_augmentation, views, write_contact_sheet
from train.backbones import UNIT, build_backbone
from train.checkpoint import Checkpoint
from train.confusion import confusion_matrix
from train.dataset import Dataset
from train.features import extract
from train.fit import Fit, Recipe, fit_stage, scores
from train.keras import keras
from train.measure import predict
from train.model import build_classifier, parameters, split_at_features, to_unfreeze, unfreeze
from train.progress import say
from train.report import draw_confusion, draw_curves, write_history
from train.rundir import METRICS, MODEL, write_json, write_run
from train.source import FeatureSource, PictureSource, Source
from train.threshold import calibrate, crossed_accuracy, fold_in, in_contract
from train.workers import strategy, workers

CHECKPOINT = "checkpoint.npz"
_CHECKED = 16  # validation pictures that also go through the whole Keras model


@dataclass
class Prepared:
    """What comes before the fit.

    Attributes:
        base: the backbone; several heads can be built on it.
        train, validation: the features of the pictures; `train` with those of their views.
        augmentation: of the views, None if there are none.
        computed: how many features were not in the cache.
    """

    spec: ModelSpec
    base: keras.Model
    model: keras.Model
    train: FeatureSource
    validation: FeatureSource
    augmentation: Augmentation | None
    computed: int


def prepare(options: argparse.Namespace, data: Dataset) -> Prepared:
    """Build the model, and bring the features of the pictures and of their views into the cache."""
    augmentation = parse_augmentation(options.augmentation) if options.augment else None
    if options.augmentation and not augmentation:
        raise UserError("--augmentation: expected --augment VIEWS with it, found no views to draw")
    keras.utils.set_random_seed(options.seed)  # of random weights: a run that goes on has to find them again
    base, backbone = build_backbone(options.backbone, options.weights, options.size, options.cut, options.width)
    if backbone.int8:
        say(f"warning: {options.backbone}: {backbone.int8}")
    mean, std = UNIT if options.unit_inputs else (backbone.mean, backbone.std)
    try:
        spec = ModelSpec(
            labels=data.labels,
            size=base.input_shape[1:3],
            resize=options.resize,
            mean=mean,
            std=std,
            backbone=options.backbone,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    keras.utils.set_random_seed(options.seed)  # anew: the head is the same behind all weights
    model = build_classifier(base, len(data.labels), options.head, options.dropout, options.output, options.dense)
    pictures = [*data.train, *data.validation]
    if options.unfreeze:
        to_unfreeze(model, options.unfreeze)  # a wrong name is told now, and not after the head was fitted
    drawn = views(data.train, augmentation, range(options.augment)) if augmentation else []
    features = extract(split_at_features(model)[0], spec, [*pictures, *drawn])
    plain, rest = features.rows[: len(pictures)], features.rows[len(pictures) :]
    rows = np.column_stack([plain[: len(data.train)], rest.reshape(len(data.train), -1)])
    labels = np.array([picture.label for picture in pictures])
    train = FeatureSource(replace(features, rows=rows), labels[: len(data.train)])
    validation = FeatureSource(replace(features, rows=plain[len(data.train) :]), labels[len(data.train) :])
    of_views = f" and {len(drawn)} views of them" if drawn else ""
    say(f"features of {len(pictures)} pictures{of_views}: {features.computed} computed, the others known")
    return Prepared(spec, base, model, train, validation, augmentation, features.computed)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe that the command line asks for."""
    return Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})


def train_run(options: argparse.Namespace, data: Dataset, started: float) -> int:
    """Train, measure, and write the run directory; the exit status, 130 if Ctrl-C ended the fit early."""
    clock = time.perf_counter()
    strategy()
    ready = prepare(options, data)
    seconds = {"features": time.perf_counter() - clock}
    spec, model = ready.spec, ready.model
    _, head = split_at_features(model)
    recipe = recipe_of(options)
    tell_parameters(model)

    clock = time.perf_counter()
    fit = Fit()
    checkpoint = Checkpoint(options.out / CHECKPOINT, _fingerprint(options, ready, data))
    logs = [keras.callbacks.TensorBoard(options.out / "tensorboard")] if options.tensorboard else []
    if found := checkpoint.load():
        say(f"continuing after epoch {len(found[1]['fit']['history'])}, where this command was stopped")
    fit_stage(head, ready.train, ready.validation, recipe, fit, checkpoint, 0, logs)
    opened: list[str] = []
    train: Source = ready.train
    if options.unfreeze and not fit.interrupted:
        opened = unfreeze(model, options.unfreeze)
        say(f"unfrozen: {len(opened)} layers with weights, from {opened[0] if opened else 'none'} on")
        tell_parameters(model)
        rate = options.unfreeze_learning_rate or options.learning_rate / 10
        second = replace(recipe, epochs=options.unfreeze_epochs, learning_rate=rate)
        train = PictureSource(data.train, spec, ready.augmentation)
        fit_stage(model, train, PictureSource(data.validation, spec), second, fit, checkpoint, 1, logs)
    seconds["fit"] = time.perf_counter() - clock
    if not workers().first:
        workers().wait()
        return 0

    # The figures of the finished model, dropout off. Of a frozen backbone they follow from the features; that those
    # are what the whole Keras model computes is checked on some of the pictures.
    if opened:
        on_train, on_validation = scores(model, train), predict(model, spec, data.validation)
    else:
        on_train, on_validation = scores(head, ready.train), scores(head, ready.validation)
        some = np.unique(np.linspace(0, len(data.validation) - 1, _CHECKED).astype(int))
        whole_model = predict(model, spec, [data.validation[i] for i in some])
        if not np.allclose(whole_model, on_validation[some], atol=0.02):
            worst = float(np.abs(whole_model - on_validation[some]).max())
            raise RuntimeError(f"features and Keras model disagree by {worst:.3f}")
    truth = ready.validation.labels
    answers = (on_validation, truth), (on_train, ready.train.labels)
    calibration = calibrate(*answers, options.balance)
    fold_in(model, calibration)
    spec = in_contract(spec, calibration)
    before = float((on_validation.argmax(axis=1) == truth).mean())
    crossed = crossed_accuracy(*answers, options.balance)
    on_train, on_validation = calibration.apply(on_train), calibration.apply(on_validation)
    predicted = on_validation.argmax(axis=1)
    write_run(options.out, spec, data)
    with whole(options.out / MODEL) as part:
        model.save(part)
    write_history(options.out / "history.csv", fit)
    draw_curves(options.out / "curves.png", fit)
    matrix = confusion_matrix(truth, predicted, len(data.labels))
    draw_confusion(options.out / "confusion.png", matrix, data.labels, f"{len(predicted)} validation pictures")
    if ready.augmentation:
        write_contact_sheet(options.out / "augmented.png", data.train, spec, ready.augmentation)
    seconds["total"] = time.perf_counter() - started
    trainable, frozen = parameters(model)
    metrics: dict[str, Any] = {
        "backbone": options.backbone,
        "labels": list(data.labels),
        "images": {"train": len(data.train), "validation": len(data.validation)},
        "skipped": len(data.skipped),
        "train_accuracy": float((on_train.argmax(axis=1) == ready.train.labels).mean()),
        "validation_accuracy": float((predicted == truth).mean()),
        "calibration": {
            "temperature": calibration.temperature,
            "shift": list(calibration.shift),
            "validation_accuracy_before": before,
            "validation_accuracy_crossed": crossed,
        },
        "epochs": len(fit.history),
        "best_epoch": fit.best_epoch,
        "parameters": {"trainable": trainable, "frozen": frozen},
        "recipe": asdict(recipe),
        "augment": {"views": options.augment, **asdict(ready.augmentation)} if ready.augmentation else None,
        "unfrozen": opened,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
    }
    write_json(options.out / METRICS, metrics)
    if not fit.interrupted:
        checkpoint.remove()
    tell_result(options.out, metrics, fit)
    workers().wait()
    return 130 if fit.interrupted else 0


def _fingerprint(options: argparse.Namespace, ready: Prepared, data: Dataset) -> str:
    """Of all that a checkpoint depends on: the options, the contract, and the pictures."""
    relevant = {name: str(value) for name, value in vars(options).items() if name not in ("out", "data", "tensorboard")}
    pictures = [(picture.digest, picture.label) for picture in [*data.train, *data.validation]]
    text = json.dumps([relevant, ready.spec.to_json(), ready.model.to_json(), pictures], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def tell_parameters(model: keras.Model) -> None:
    trainable, frozen = parameters(model)
    say(f"parameters: {trainable:,} trainable, {frozen:,} frozen")


def tell_result(out: Path, metrics: dict[str, Any], fit: Fit) -> None:
    kept = f"epoch {fit.best_epoch} of {len(fit.history)}"
    if fit.reached:
        row = fit.history[fit.best_epoch - 1]
        kept += f", stopped at {row['accuracy']:.2%} training accuracy"
    if fit.interrupted:
        kept += ", stopped by Ctrl-C; the same command continues"
    if any(shift := metrics["calibration"]["shift"]):
        calibration = metrics["calibration"]
        say(
            f"calibration: {metrics['labels'][int(np.argmin(shift))]} was said too often, and is no more; the "
            f"validation accuracy was {calibration['validation_accuracy_before']:.2%} without that, and is "
            f"{calibration['validation_accuracy_crossed']:.2%} on pictures that had no say in it (5 folds)"
        )
    say(
        f"accuracy: {metrics['train_accuracy']:.2%} on training, {metrics['validation_accuracy']:.2%} on validation "
        f"({kept}), {metrics['seconds']['total']:.0f} s; see {out}/curves.png"
    )
    say(f"next: python -m convert {out}")
