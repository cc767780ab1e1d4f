"""Dropout seen to work, or not: the same head with and without it, on the same features and seeds.

    python -m train --study dropout --data photos --out runs/study --dense 1024 --dropout 0.5

Writes `dropout.png` (validation accuracy and loss, each seed thin, their mean thick), `dropout.csv` and `dropout.json`.
"""

import csv
from dataclasses import replace

import numpy as np

from edge.errors import UserError
from edge.files import whole
from train.dataset import Dataset
from train.fit import Fit, fit_stage
from train.model import split_at_features
from train.options import Options
from train.prepare import new_head, prepare
from train.progress import say
from train.report import draw_study
from train.run import recipe_of
from train.rundir import write_json
from train.workers import workers

SEEDS = 5


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
    for seed in range(options.seed, options.seed + SEEDS):
        for dropout in runs:
            model = new_head(options, ready.base, ready.taps, len(data.labels), dropout, seed)
            fit = Fit()
            fit_stage(split_at_features(model)[1], ready.train, ready.validation, replace(recipe, seed=seed), fit)
            if fit.interrupted:
                raise KeyboardInterrupt
            runs[dropout].append(fit.history)
            last = fit.history[-1]
            say(
                f"seed {seed}, dropout {dropout:g}: validation accuracy {last['val_accuracy']:.2%}, "
                f"loss {last['val_loss']:.4f}"
            )
    table = {
        dropout: {name: np.array([[row[name] for row in run] for run in of_seeds]) for name in of_seeds[0][0]}
        for dropout, of_seeds in runs.items()
    }
    finding = sentence(table)
    draw_study(options.out / "dropout.png", table, finding)
    with whole(options.out / "dropout.csv") as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        names = ("accuracy", "loss", "val_accuracy", "val_loss")
        writer.writerow(("dropout", "seed", "epoch", *names))
        for dropout, of_seeds in runs.items():
            for seed, run in enumerate(of_seeds, options.seed):
                writer.writerows((dropout, seed, epoch, *(row[n] for n in names)) for epoch, row in enumerate(run, 1))
    ends = {
        f"{dropout:g}": {name: values[:, -1].tolist() for name, values in t.items()} for dropout, t in table.items()
    }
    write_json(options.out / "dropout.json", {"finding": finding, "last_epoch": ends})
    say(finding)
    say(f"see {options.out}/dropout.png")
    return 0


def sentence(table: dict[float, dict[str, np.ndarray]]) -> str:
    """What was found, from (seeds, epochs) of val_accuracy and val_loss without dropout and with it.

    A difference counts as one when it is larger than twice its standard error over the seeds, each seed with itself.
    """
    without, with_it = sorted(table)
    parts = []
    for name, unit, scale, better in (("val_accuracy", " points", 100, 1), ("val_loss", "", 1, -1)):
        change = scale * (table[with_it][name][:, -1] - table[without][name][:, -1])
        mean, error = change.mean(), change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else np.inf
        what = "validation accuracy" if name == "val_accuracy" else "validation loss"
        if abs(mean) > 2 * error and abs(mean) > 1e-6:
            verdict = "better" if mean * better > 0 else "worse"
            parts.append(f"{what} is {verdict} by {abs(mean):.3g}{unit} (±{2 * error:.2g})")
        else:
            parts.append(f"{what} is no different ({mean:+.3g}{unit}, ±{2 * error:.2g})")
    seeds, epochs = table[without]["val_loss"].shape
    return f"With dropout {with_it:g}, after {epochs} epochs and over {seeds} seeds, {' and '.join(parts)}."
