"""The lesson's own loop, backbone in every epoch, against `make exercise` and `make train`: side by side.

    python -m tests.bench.classic --data horses-or-humans --weights inception_v3_notop.h5
    python -m tests.bench.classic --data horses-or-humans --weights inception_v3_notop.h5 --epochs 2

The loop is Keras alone: `ImageDataGenerator` with the lesson's augmentation, batches of 20, InceptionV3 up to mixed7
with its head, validation after every epoch. A few of its epochs are timed, and each whole command twice: with an empty
cache, and with the features that the first time left there. The ratio is that of twenty such epochs to the command.
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

import numpy as np

from tests.bench.interop import ROOT, markdown
from train.keras import keras
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
    rows = [["", "seconds", "twenty epochs to it", "training", "validation"], ["one classic epoch", f"{epoch:.1f}"]]
    rows[-1] += [""] * 3
    for target in (["exercise", f"WEIGHTS={options.weights}"], ["train"]):
        with tempfile.TemporaryDirectory() as cache:
            for state in ("nothing cached", "features known"):
                seconds, metrics = command([*target, f"DATA={data}"], cache)
                accuracies = (f"{100 * metrics[f'{split}_accuracy']:.1f} %" for split in ("train", "validation"))
                times = f"{TWENTY * epoch / seconds:.0f}"
                rows.append([f"`make {target[0]}`, {state}", f"{seconds:.1f}", times, *accuracies])
                print(rows[-1], file=sys.stderr, flush=True)
    return markdown(rows)


if __name__ == "__main__":
    print(main())
