"""The classic loop, backbone in every epoch, against `python -m train`: the same pictures, side by side.

    python -m tests.bench.classic --data horses-or-humans --weights inception_v3_notop.h5
    python -m tests.bench.classic --data horses-or-humans --weights inception_v3_notop.h5 --epochs 2

For each recipe a few epochs of the classic loop (fresh views, batches of 20, validation after each) are timed, and the
whole command with an empty cache. The ratio is that of twenty such epochs to the command.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edge.contract import ModelSpec
from tests.bench.interop import ROOT, markdown
from train.augment import Augmentation
from train.backbones import UNIT, build_backbone
from train.dataset import load_dataset
from train.fit import Fit, Recipe, fit_stage
from train.model import build_classifier
from train.named import data_folder
from train.source import PictureSource

TWENTY = 20
BATCH = 20


def classic(data: Path, weights: str, epochs: int, exercise: bool) -> float:
    """The median seconds of an epoch of the classic loop, the first one (which traces the graph) left out."""
    dataset = load_dataset(data)
    if exercise:
        base, _ = build_backbone("inception-v3", weights, 150, "mixed7")
        model = build_classifier(base, 2, "flatten", 0.2, "sigmoid", (1024,))
        pixels = UNIT
    else:
        base, entry = build_backbone("efficientnet-lite0")
        model, pixels = build_classifier(base, 2), (entry.mean, entry.std)
    spec = ModelSpec(dataset.labels, base.input_shape[1:3], mean=pixels[0], std=pixels[1])
    fit = Fit()
    recipe = Recipe(epochs=epochs + 1, batch=BATCH, optimizer="rmsprop", learning_rate=1e-4, patience=0)
    train = PictureSource(dataset.train, spec, Augmentation())
    fit_stage(model, train, PictureSource(dataset.validation, spec), recipe, fit)
    return statistics.median(row["seconds"] for row in fit.history[1:])


def command(target: list[str]) -> tuple[float, dict]:
    """Seconds of a whole make target with an empty cache, and the figures that it wrote."""
    with tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "FROSTLITE_CACHE": name}
        started = time.perf_counter()
        subprocess.run(["make", *target, f"RUN={name}/run"], cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
        return time.perf_counter() - started, json.loads((Path(name) / "run" / "metrics.json").read_text())


def main() -> str:
    parser = argparse.ArgumentParser("python -m tests.bench.classic")
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", default="imagenet", help="of InceptionV3")
    parser.add_argument("--epochs", type=int, default=2, help="of the classic loop")
    options = parser.parse_args()
    data = data_folder(options.data)
    rows = [["recipe", "classic epoch, s", "whole command, s", "twenty epochs to it", "training", "validation"]]
    for name, exercise, target in (
        ("exercise", True, ["exercise", f"DATA={data}", f"WEIGHTS={options.weights}"]),
        ("default", False, ["train", f"DATA={data}"]),
    ):
        seconds, metrics = command(target)
        epoch = classic(data, options.weights, options.epochs, exercise)
        accuracies = (f"{metrics[f'{split}_accuracy']:.2%}" for split in ("train", "validation"))
        rows.append([name, f"{epoch:.1f}", f"{seconds:.1f}", f"{TWENTY * epoch / seconds:.0f}", *accuracies])
        print(rows[-1], file=sys.stderr, flush=True)
    return markdown(rows)


if __name__ == "__main__":
    print(main())
