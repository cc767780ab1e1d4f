"""Dropout seen to work, or not: the same head with and without it, on the same features and seeds.

    python -m train --study dropout --data photos --out runs/study --dense 1024 --dropout 0.5

Writes `dropout.png` (validation accuracy and loss, each seed thin, their mean thick), `dropout.csv` and `dropout.json`.
"""

import csv
from dataclasses import replace

import numpy as np
from scipy.stats import t as student

from edge.errors import UserError
from edge.files import whole
from train.dataset import Dataset
from train.fit import Fit, fit_stage, scores
from train.keras import keras
from train.model import split_at_features
from train.options import Options
from train.prepare import new_head, prepare
from train.progress import say
from train.report import draw_study
from train.run import recipe_of
from train.rundir import write_json
from train.source import Source
from train.workers import workers

SEEDS = 5


class _Last(keras.callbacks.Callback):
    """Whether the model of the last epoch is right, and its loss, for each picture of validation: (pictures,)."""

    def __init__(self, validation: Source) -> None:
        super().__init__()
        self.validation = validation

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        found, truth = scores(self.model, self.validation), self.validation.labels
        self.right = found.argmax(axis=1) == truth
        self.loss = -np.log(np.maximum(found[np.arange(len(truth)), truth], 1e-7))


def dropout_study(options: Options, data: Dataset) -> int:
    """Fit one head for each of two dropouts and five seeds to the last epoch, and say what the validation shows."""
    if not options.dropout:
        raise UserError("--study dropout: expected a --dropout above 0 to compare with none, found 0")
    for flag in ("unfreeze", "tensorboard", "stop_at_train_accuracy"):
        if getattr(options, flag):
            raise UserError(f"--study: fits the head to its last epoch; expected no --{flag.replace('_', '-')}")
    if workers().count > 1:
        raise UserError("--study: expected one machine, found a TF_CONFIG of several")
    ready = prepare(options, data)
    recipe = replace(recipe_of(options), patience=0, stop_at_train_accuracy=None)
    runs: dict[float, list[list[dict[str, float]]]] = {0.0: [], options.dropout: []}
    ends: dict[float, list[_Last]] = {0.0: [], options.dropout: []}
    for seed in range(options.seed, options.seed + SEEDS):
        for dropout in runs:
            model = new_head(options, ready.base, ready.taps, len(data.labels), dropout, seed)
            fit, end, head = Fit(), _Last(ready.validation), split_at_features(model)[1]
            fit_stage(head, ready.train, ready.validation, replace(recipe, seed=seed), fit, callbacks=[end])
            if fit.interrupted:
                raise KeyboardInterrupt
            runs[dropout].append(fit.history)
            ends[dropout].append(end)
            last = fit.history[-1]
            say(
                f"seed {seed}, dropout {dropout:g}: validation accuracy {last['val_accuracy']:.2%}, "
                f"loss {last['val_loss']:.4f}"
            )
    table = {
        dropout: {name: np.array([[row[name] for row in run] for run in of_seeds]) for name in of_seeds[0][0]}
        for dropout, of_seeds in runs.items()
    }
    right, loss = (
        {dropout: np.array([getattr(end, name) for end in each], float) for dropout, each in ends.items()}
        for name in ("right", "loss")
    )
    finding = f"With dropout {options.dropout:g}, after {recipe.epochs} epochs, {sentence(right, loss)}."
    draw_study(options.out / "dropout.png", table, finding)
    with whole(options.out / "dropout.csv") as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        names = ("accuracy", "loss", "val_accuracy", "val_loss")
        writer.writerow(("dropout", "seed", "epoch", *names))
        for dropout, of_seeds in runs.items():
            for seed, run in enumerate(of_seeds, options.seed):
                writer.writerows((dropout, seed, epoch, *(row[n] for n in names)) for epoch, row in enumerate(run, 1))
    ends_at = {
        f"{dropout:g}": {name: values[:, -1].tolist() for name, values in t.items()} for dropout, t in table.items()
    }
    write_json(options.out / "dropout.json", {"finding": finding, "last_epoch": ends_at})
    say(finding)
    say(f"see {options.out}/dropout.png")
    return 0


def sentence(right: dict[float, np.ndarray], loss: dict[float, np.ndarray]) -> str:
    """What was found, from (seeds, pictures) without dropout and with it: right answers, 0 or 1, and losses."""
    parts = []
    for name, values, unit, scale, better in (
        ("accuracy", right, " points", 100, 1),
        ("loss", loss, "", 1, -1),
    ):
        without, with_it = (values[dropout] for dropout in sorted(values))
        mean, error = (scale * value for value in difference(with_it - without))
        if abs(mean) > error:
            verdict = "better" if mean * better > 0 else "worse"
            parts.append(f"validation {name} is {verdict} by {abs(mean):.3g}{unit} (±{error:.2g})")
        else:
            parts.append(f"validation {name} is no different ({mean:+.3g}{unit}, ±{error:.2g})")
    seeds, pictures = next(iter(right.values())).shape
    return f"over {seeds} seeds and {pictures} pictures, {' and '.join(parts)}"


def difference(values: np.ndarray) -> tuple[float, float]:
    """The mean of paired differences, float (seeds, pictures), and half the width of its interval of 95 %.

    The seeds are a sample, and the pictures are one: their variances are added. With few seeds the normal distribution
    would promise too much: Student's, with the degrees of freedom of such a sum (Welch, 1947; Satterthwaite, 1946).
    """
    parts = [values.mean(axis=1), values.mean(axis=0)]
    variances = np.array([part.var(ddof=1) / len(part) for part in parts])
    total = variances.sum()
    if not total:
        return float(values.mean()), 0.0
    freedom = total**2 / (variances**2 / [len(part) - 1 for part in parts]).sum()
    return float(values.mean()), float(student.ppf(0.975, freedom) * np.sqrt(total))
