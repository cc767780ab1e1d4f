"""What a run leaves behind: its figures, in the run directory and in one sentence."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from train.augment import write_contact_sheet
from train.dataset import Dataset
from train.figures import Figures, figures
from train.finetune import Finetuned
from train.fit import Fit
from train.heads import Solution
from train.html_report import REPORT, write_html_report
from train.model import parameters
from train.options import EPOCHS, Options
from train.prepare import Prepared
from train.progress import say
from train.report import draw_candidates, draw_confusion, draw_curves, write_candidates, write_history
from train.rundir import METRICS, write_json, write_run
from train.threshold import Answers, Calibration, crossed_accuracy, in_contract
from train.weights import weights_digest, weights_name

# What a figure is called, in the sentence that is printed and wherever else it is shown.
CALLED = {
    "test": "test pictures, which chose nothing",
    "crossfit": "pictures, each answered by a head that was not fitted on it",
    "validation": "validation pictures, which also chose the model: a test/ folder would show how new pictures do",
}


@dataclass(frozen=True)
class Outcome:
    """A finished, calibrated model and what it says of the pictures.

    Attributes:
        fit: of the epochs; without a row where there were none.
        solution: of a solved head; None for one that was fitted in epochs.
        opened: the layers of the backbone that were trained too.
        scores, truth: of training, validation and test, (pictures, labels) and (pictures,).
        crossed: scores and truth of all pictures of training and validation, each by a head that was not fitted on it;
            None where there is no such head.
        tuned: what came of training the backbone behind a solved head.
    """

    fit: Fit
    solution: Solution | None
    opened: list[str]
    calibration: Calibration
    scores: list[np.ndarray]
    truth: list[np.ndarray]
    crossed: Answers | None
    tuned: Finetuned | None = None

    def answers(self, own_split: bool) -> dict[str, Answers]:
        """Scores and truth by name: train, validation, and crossfit and test where there are such."""
        answers = {
            name: (scores, truth)
            for name, scores, truth in zip(("train", "validation", "test"), self.scores, self.truth, strict=True)
        }
        if self.crossed:
            answers["crossfit"] = self.crossed
            if own_split:  # the finished head was fitted on these
                answers["validation"] = tuple(each[len(self.truth[0]) :] for each in answers["crossfit"])  # type: ignore[assignment]
        return {name: pair for name, pair in answers.items() if len(pair[1])}


def headline(found: dict[str, Figures]) -> str:
    """The name of the figures that are told first: of pictures that chose nothing, where there are such."""
    return next(name for name in CALLED if name in found)


def write_outcome(
    options: Options,
    ready: Prepared,
    data: Dataset,
    outcome: Outcome,
    seconds: dict[str, float],
    started: float,
    searched: list[dict[str, Any]] | None = None,
) -> None:
    """Write all of the run directory but the model, the metrics and then the pictures last, and tell the result.

    Args:
        seconds: what the features and the fit took.
        started: when the command did, by `time.perf_counter`.
    """
    out, fit, calibration = options.out, outcome.fit, outcome.calibration
    answers = outcome.answers(data.own_split)
    found = {name: figures(said.argmax(axis=1), truth, data.labels) for name, (said, truth) in answers.items()}
    first = headline(found)
    write_run(out, in_contract(ready.spec, calibration), data)
    if fit.history:
        write_history(out / "history.csv", fit)
    elif outcome.solution:
        write_candidates(out / "history.csv", outcome.solution)
    trainable, frozen = parameters(ready.model)
    accuracies = {f"{name}_accuracy": found[name].accuracy if name in found else None
                  for name in ("train", "validation", "crossfit", "test")}  # fmt: skip
    metrics: dict[str, Any] = {
        "backbone": options.backbone,
        "labels": list(data.labels),
        "images": {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
        "skipped": len(data.skipped),
        **accuracies,
        "headline": first,
        "interval": list(found[first].interval),
        "figures": {name: each.to_json() for name, each in found.items()},
        "calibration": _calibration(options, outcome),
        "refuse": options.refuse,
        "promise": options.promise,
        "taps": list(ready.taps),
        "head": _head(outcome.solution, options) if outcome.solution else {"kind": "adam"},
        "epochs": len(fit.history),
        "best_epoch": fit.best_epoch,
        "parameters": {"trainable": trainable, "frozen": frozen},
        "recipe": {name: getattr(options, name) for name in (*EPOCHS, "balance", "seed")} if fit.history else None,
        "augment": {"views": options.augment, **asdict(ready.augmentation)} if ready.augmentation else None,
        "weights": {"source": weights_name(options.weights), "sha256": weights_digest(options.weights)},
        "unfrozen": outcome.opened,
        "fine_tuning": {"kept": outcome.tuned.kept, "validation_accuracy": outcome.tuned.accuracy}
        if outcome.tuned
        else None,
        "search": searched,
        "seconds": {name: round(value, 2) for name, value in (seconds | {"total": _since(started)}).items()},
    }
    write_json(out / METRICS, metrics)
    # What is drawn comes last: nothing is lost if it takes more memory than there is.
    if fit.history:
        draw_curves(out / "curves.png", fit)
    elif outcome.solution:
        draw_candidates(out / "curves.png", outcome.solution)
    title = f"{found[first].pictures} {CALLED[first]}"
    draw_confusion(out / "confusion.png", found[first].confusion, data.labels, title)
    if ready.augmentation:
        write_contact_sheet(out / "augmented.png", data.train, ready.spec, ready.augmentation)
    pictures = {"crossfit": [*data.train, *data.validation], "validation": data.validation, "test": data.test}[first]
    write_html_report(out, ready, data, fit, metrics, found[first], CALLED[first], pictures, answers[first][0])
    metrics["seconds"]["total"] = round(_since(started), 2)  # the report takes seconds too
    write_json(out / METRICS, metrics)
    _tell(options, outcome, found, metrics)


def _since(started: float) -> float:
    return time.perf_counter() - started


def _calibration(options: Options, outcome: Outcome) -> dict[str, Any]:
    """What was fitted to the scores and, where there was a shift, what the validation accuracy is without it."""
    calibration = outcome.calibration
    told: dict[str, Any] = {
        "temperature": calibration.temperature,
        "threshold": calibration.threshold,
        "false_reject": calibration.false_reject,
        "false_accept": calibration.false_accept,
        "promise": asdict(calibration.promise) if calibration.promise else None,
        "shift": list(calibration.shift),
    }
    if any(calibration.shift):
        before = [(calibration.undo(each), truth) for each, truth in zip(outcome.scores, outcome.truth, strict=True)]
        told["validation_accuracy_before"] = float((before[1][0].argmax(axis=1) == before[1][1]).mean())
        told["validation_accuracy_crossed"] = crossed_accuracy(before[1], before[0], options.balance)
    return told


def _head(solution: Solution, options: Options) -> dict[str, Any]:
    """How a head was solved."""
    tried = {
        str(each): {"accuracy": solution.accuracy[each], "loss": solution.loss[each]} for each in solution.accuracy
    }
    how = {"balance": options.balance, "seed": options.seed}
    return {**asdict(solution.candidate), **how, "tried": tried, "left_out": solution.left_out}


def _tell(options: Options, outcome: Outcome, found: dict[str, Figures], metrics: dict[str, Any]) -> None:
    fit, calibration = outcome.fit, metrics["calibration"]
    if outcome.solution:
        say(f"head: {outcome.solution.candidate}, the best of {len(outcome.solution.accuracy)} on pictures held out")
    if fit.history:
        kept = f"kept: epoch {fit.best_epoch} of {len(fit.history)}"
        if fit.reached:
            kept += f", stopped at {fit.history[fit.best_epoch - 1]['accuracy']:.2%} training accuracy"
        if fit.interrupted:
            kept += ", stopped by Ctrl-C; the same command continues"
        say(kept)
    if any(calibration["shift"]):
        say(
            f"calibration: {metrics['labels'][int(np.argmin(calibration['shift']))]} was answered too often, and is no "
            f"more; the validation accuracy was {calibration['validation_accuracy_before']:.2%} without that, and is "
            f"{calibration['validation_accuracy_crossed']:.2%} on pictures that had no say in it (5 folds)"
        )
    if outcome.calibration.promise:
        say(str(outcome.calibration.promise))
    first = metrics["headline"]
    others = ", ".join(f"{each.accuracy:.2%} {name}" for name, each in found.items() if name != first)
    say(
        f"accuracy: {found[first]} on {found[first].pictures} {CALLED[first]}; {others}; "
        f"{metrics['seconds']['total']:.0f} s; see {options.out / REPORT}"
    )
    say(f"next: python -m convert {options.out}")
