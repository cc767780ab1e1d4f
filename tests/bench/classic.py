"""The lesson's own loop, backbone in every epoch, against `make exercise` and `make train`: side by side.

    python -m tests.bench.classic --data horses-or-humans --weights inception_v3_notop.h5
    python -m tests.bench.classic --data horses-or-humans --weights inception_v3_notop.h5 --epochs 2

The loop is Keras alone: `ImageDataGenerator` with the lesson's augmentation, batches of 20, InceptionV3 up to mixed7
with its head, validation after every epoch. A few of its epochs are timed, and each whole command twice: with an empty
cache, and with the features that the first time left there. The ratio is that of twenty such epochs to the command.
The floor is the backbone alone, once over as many blank pictures as the command has pictures and views.
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
from typing import Any

import numpy as np

from edge.model.contract import ModelSpec
from tests.bench.table import ROOT, markdown
from train.backbones import build_backbone
from train.dataset import Picture
from train.features import keras_engine
from train.keras import keras
from train.model import build_classifier, split_at_features
from train.named import data_folder

TWENTY = 20


def classic(data: Path, weights: str, epochs: int) -> float:
    """The median seconds of an epoch, the first one (which traces the graph) left out."""
    base = keras.applications.InceptionV3(
        input_shape=(150, 150, 3), include_top=False, weights=weights if weights == "imagenet" else None
    )
    if weights != "imagenet":
        base.load_weights(weights)
    base.trainable = False
    x = keras.layers.Flatten()(base.get_layer("mixed7").output)
    x = keras.layers.Dropout(0.2)(keras.layers.Dense(1024, activation="relu")(x))
    model = keras.Model(base.input, keras.layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.RMSprop(1e-4), "binary_crossentropy", ["accuracy"])
    views = {"rotation_range": 40, "width_shift_range": 0.2, "height_shift_range": 0.2, "shear_range": 0.2}
    views |= {"zoom_range": 0.2, "horizontal_flip": True}
    train, validation = (
        keras.preprocessing.image.ImageDataGenerator(rescale=1 / 255, **more).flow_from_directory(
            data / split, target_size=(150, 150), batch_size=20, class_mode="binary"
        )
        for split, more in (("train", views), ("validation", {}))
    )
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
    model.fit(train, validation_data=validation, epochs=epochs + 1, verbose=0, callbacks=[clock])
    return statistics.median(np.diff(ends))


class Blank(Picture):
    """Nothing to read, to draw or to resize."""

    def frame(self, spec: ModelSpec) -> np.ndarray:
        return np.zeros((*spec.size, 3), np.uint8)


def floor(pictures: int, *how: Any) -> float:
    """Seconds of the bare backbone for so many pictures, its tracing or conversion left out."""
    base, backbone = build_backbone(*how)
    spec = ModelSpec(("a", "b"), base.input_shape[1:3], mean=backbone.mean, std=backbone.std)
    blanks = [Blank(Path(), 0, "")] * 512
    batches = keras_engine(split_at_features(build_classifier(base, 2))[0], spec).compute(blanks)
    next(batches)
    started = time.perf_counter()
    rest = sum(len(batch) for batch, _ in batches)
    return (time.perf_counter() - started) / rest * pictures


def command(target: list[str], cache: str) -> tuple[float, dict]:
    """Seconds of a whole make target, and the figures that it wrote."""
    with tempfile.TemporaryDirectory() as run:
        started = time.perf_counter()
        environment = {**os.environ, "FROSTLITE_CACHE": cache}
        subprocess.run(["make", *target, f"RUN={run}", "-s"], cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
        return time.perf_counter() - started, json.loads((Path(run) / "metrics.json").read_text())


def main() -> str:
    parser = argparse.ArgumentParser("python -m tests.bench.classic")
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", default="imagenet", help="of InceptionV3")
    parser.add_argument("--epochs", type=int, default=2, help="of the classic loop")
    options = parser.parse_args()
    data = data_folder(options.data)
    epoch = classic(data, options.weights, options.epochs)
    rows = [["", "seconds", "times as fast as 20 epochs", "training", "validation"]]
    rows.append(["one classic epoch", f"{epoch:.1f}", "", "", ""])
    commands = (
        (["exercise", f"WEIGHTS={options.weights}"], ("inception-v3", options.weights, 150, "mixed7")),
        (["train"], ("efficientnet-lite0",)),
    )
    for target, backbone in commands:
        with tempfile.TemporaryDirectory() as cache:
            for state in ("nothing cached", "features known"):
                seconds, metrics = command([*target, f"DATA={data}"], cache)
                accuracies = (f"{100 * metrics[f'{split}_accuracy']:.1f} %" for split in ("train", "validation"))
                times = f"{TWENTY * epoch / seconds:.0f}"
                rows.append([f"`make {target[0]}`, {state}", f"{seconds:.1f}", times, *accuracies])
                print(rows[-1], file=sys.stderr, flush=True)
        views = metrics["augment"]["views"] if metrics["augment"] else 0
        pictures = metrics["images"]["train"] * (1 + views) + metrics["images"]["validation"]
        rows.append([f"the bare backbone, {pictures:,} times", f"{floor(pictures, *backbone):.1f}", "", "", ""])
    return markdown(rows)


if __name__ == "__main__":
    print(main())
