"""One run: pictures to features, features to a fitted head, perhaps the backbone too, and the run directory."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from edge.errors import UserError
from edge.files import whole
from edge.model.likeness import PART
from train.checkpoint import Checkpoint
from train.dataset import Dataset, Picture
from train.finetune import Finetuned, finetune
from train.fit import Fit, Recipe, fit_stage, scores
from train.heads import Solution, folds, solve
from train.keras import keras
from train.measure import answer_of, predict
from train.model import fold_in, parameters, split_at_features, unfreeze, write_head
from train.options import Options
from train.outcome import Outcome, write_outcome
from train.prepare import Prepared, prepare
from train.progress import say, waiting
from train.rundir import MODEL
from train.source import PictureSource, Source
from train.threshold import Answers, calibrate
from train.workers import strategy, workers

CHECKPOINT = "checkpoint.npz"
_CHECKED = 16  # pictures that also go through the whole Keras model


@dataclass
class Fitted:
    """How the model came to its weights.

    Attributes:
        fit: of the epochs; without a row where there were none.
        solution: of a solved head, and None for one that was fitted in epochs.
        opened: the layers of the backbone that were trained too.
        train: what it was trained on last, to be measured on.
        tuned: what came of training the backbone behind a solved head.
    """

    fit: Fit = field(default_factory=Fit)
    solution: Solution | None = None
    opened: list[str] = field(default_factory=list)
    train: Source | None = None
    tuned: Finetuned | None = None


def recipe_of(options: Options) -> Recipe:
    """The recipe that the command line asks for."""
    return Recipe(**{each.name: getattr(options, each.name) for each in fields(Recipe)})


def train_run(
    options: Options,
    data: Dataset,
    started: float,
    searched: list[dict[str, Any]] | None = None,
    until: float | None = None,
) -> int:
    """Train, measure, and write the run directory; the exit status, 130 if Ctrl-C ended the fit early.

    Args:
        started: when the command did, by `time.perf_counter`.
        searched: the candidates that the options were chosen from, for the figures.
        until: when fine-tuning has to be over, by the same clock.
    """
    clock = time.perf_counter()
    strategy()
    if workers().count > 1:
        options = replace(options, fit="adam")  # a head is solved on one machine
    ready = prepare(options, data)
    seconds = {"features": time.perf_counter() - clock}
    clock = time.perf_counter()
    checkpoint = Checkpoint(options.out / CHECKPOINT, _fingerprint(options, ready, data))
    fitted = fit(options, ready, data, checkpoint, until)
    seconds["fit"] = time.perf_counter() - clock
    if not workers().first:
        workers().wait()
        return 0
    outcome = measure(options, ready, data, fitted)
    write_outcome(options, ready, data, outcome, seconds, started, searched)
    if not fitted.fit.interrupted:
        checkpoint.remove()
    workers().wait()
    return 130 if fitted.fit.interrupted else 0


def fit(options: Options, ready: Prepared, data: Dataset, checkpoint: Checkpoint, until: float | None = None) -> Fitted:
    """Solve the head, or fit it in epochs; then, if it is asked for, train the backbone too."""
    fitted = Fitted(train=ready.train)
    recipe = recipe_of(options)
    tell_parameters(ready.model)
    if options.fit == "adam":
        logs = [keras.callbacks.TensorBoard(options.out / "tensorboard")] if options.tensorboard else []
        if found := checkpoint.load():
            say(f"continuing after epoch {len(found[1]['fit']['history'])}, where this command was stopped")
        head = split_at_features(ready.model)[1]
        fit_stage(head, ready.train, ready.validation, recipe, fitted.fit, checkpoint, 0, logs)
    else:
        logs = []
        fitted.solution = solve_head(options, ready, data)
    if options.unfreeze and fitted.solution:
        say(f"fine-tuning: {options.unfreeze_epochs} epochs at most of the layers from {options.unfreeze} on")
        tuned = fitted.tuned = finetune(options, ready, data, until)
        fitted.opened, fitted.fit.interrupted = tuned.opened, tuned.interrupted
        told = ", ".join(f"{name} {accuracy:.2%}" for name, accuracy in tuned.accuracy.items())
        say(f"kept: {tuned.kept}, of {told} on the validation pictures, which chose between them")
        if not tuned.opened and data.own_split:  # then these may be fitted on as well
            fitted.solution = solve_head(replace(options, unfreeze=None), ready, data)
    elif options.unfreeze and not fitted.fit.interrupted:
        fitted.opened = unfreeze(ready.model, options.unfreeze)
        say(f"unfrozen: {len(fitted.opened)} layers with weights, from {(fitted.opened or ['none'])[0]} on")
        tell_parameters(ready.model)
        rate = options.unfreeze_learning_rate or options.learning_rate / 10
        second = replace(recipe, epochs=options.unfreeze_epochs, learning_rate=rate)
        fitted.train = PictureSource(data.train, ready.spec, ready.augmentation)
        validation = PictureSource(data.validation, ready.spec)
        fit_stage(ready.model, fitted.train, validation, second, fitted.fit, checkpoint, 1, logs)
    return fitted


def fitted_on(options: Options, data: Dataset) -> list[Picture]:
    """The pictures that a solved head is fitted on: all, where the split is our own and nothing else needs it."""
    return [*data.train, *(data.validation if data.own_split and not options.unfreeze else [])]


def solve_head(options: Options, ready: Prepared, data: Dataset) -> Solution:
    """Solve the head on the features, and make it the weights of the model."""
    pictures = fitted_on(options, data)
    sources = [ready.train, ready.validation][: 1 + (len(pictures) > len(data.train))]
    features = [np.concatenate([each.view(number) for each in sources]) for number in range(ready.train.views)]
    labels = np.concatenate([each.labels for each in sources])
    fold = folds(pictures, options.seed)
    with waiting("solving the head"):
        solution = solve(features[0], labels, len(data.labels), fold, options.fit, options.balance, features[1:])
    for kind, reason in solution.left_out.items():
        say(f"{kind}: left out, it would take {reason}")
    write_head(ready.model, solution.head, features[0].mean(axis=0))
    return solution


def measure(options: Options, ready: Prepared, data: Dataset, fitted: Fitted) -> Outcome:
    """Calibrate the finished model, save it, and count its answers, dropout off.

    Of a frozen backbone they follow from the features; that those are what the whole Keras model computes is checked
    on some of the pictures.
    """
    model, spec = ready.model, ready.spec
    if fitted.tuned and fitted.opened:
        said = [scores(fitted.tuned.tail, each) for each in fitted.tuned.sources]
    elif fitted.opened:
        assert fitted.train is not None
        said = [
            scores(model, fitted.train),
            *(predict(answer_of(model), spec, each) for each in (data.validation, data.test)),
        ]
    else:
        head = split_at_features(model)[1]
        said = [scores(head, each) for each in (ready.train, ready.validation, ready.test)]
    truths = [each.labels for each in (ready.train, ready.validation, ready.test)]
    crossed: Answers | None = None
    if fitted.solution and not fitted.opened:
        crossed = _held_out(fitted.solution, said[1], truths, len(data.labels))
        refused = (1 - PART) * options.refuse  # the likeness takes the rest
        calibration = calibrate(crossed, refused=refused, promised=options.promise)
        crossed = calibration.apply(crossed[0]).astype(np.float32), crossed[1]
    else:
        calibration = calibrate((said[1], truths[1]), (said[0], truths[0]), options.balance, options.refuse)
    fold_in(model, calibration)
    with whole(options.out / MODEL) as part:  # before anything can be found wrong with it
        model.save(part)
    if not fitted.opened:
        head = split_at_features(model)[1]  # anew: of a score that is 1 to the last digit the logits are lost
        said = [scores(head, each) for each in (ready.train, ready.validation, ready.test)]
    else:
        said = [calibration.apply(each) for each in said]
    if not fitted.opened or fitted.tuned:
        _check(ready, data.test or data.validation, said[2] if data.test else said[1], options)
    return Outcome(fitted.fit, fitted.solution, fitted.opened, calibration, said, truths, crossed, fitted.tuned)


def _held_out(solution: Solution, validation: np.ndarray, truths: list[np.ndarray], labels: int) -> Answers:
    """Scores and labels of all pictures, each by a head that was not fitted on it: out of fold, and those of a
    validation folder by the head itself."""
    from edge.model.head import softmax

    held_out = softmax(solution.held_out)
    if len(held_out) == len(truths[0]):
        held_out = np.concatenate([held_out, validation])
    return held_out, np.concatenate(truths[:2])


def _check(ready: Prepared, pictures: list[Picture], found: np.ndarray, options: Options) -> None:
    some = np.unique(np.linspace(0, len(pictures) - 1, _CHECKED).astype(int))
    whole_model = predict(answer_of(ready.model), ready.spec, [pictures[i] for i in some])
    worst = np.abs(whole_model - found[some]).max(axis=1)
    if (
        worst.mean() > 0.02
    ):  # on average: the last digits of features differ, and a sharp head makes more of it for a few
        raise UserError(
            f"features and Keras model disagree by {worst.max():.3f}: expected equal scores of both; the model is "
            f"kept as {options.out / MODEL}; empty the cache (FROSTLITE_CACHE) and train again"
        )


# What a checkpoint does not depend on: where it goes on to, and where things are written.
_FREE = "out", "data", "tensorboard", "epochs", "patience", "stop_at_train_accuracy", "unfreeze_epochs"


def _fingerprint(options: Options, ready: Prepared, data: Dataset) -> str:
    """Of all that a checkpoint depends on: the options, the contract, and the pictures."""
    relevant = {name: str(value) for name, value in asdict(options).items() if name not in _FREE}
    pictures = [(picture.digest, picture.label) for picture in [*data.train, *data.validation]]
    text = json.dumps([relevant, ready.spec.to_json(), ready.model.to_json(), pictures], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def tell_parameters(model: keras.Model) -> None:
    trainable, frozen = parameters(model)
    say(f"parameters: {trainable:,} trainable, {frozen:,} frozen")
