"""Every scheme of the table, on a model that is often wrong: made by the command line, and asked by another runtime.

Files with uint8 inputs take the pixels as they are.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run_here

from convert.schemes import SCHEMES
from edge.model.contract import ModelSpec
from edge.model.head import solve_lda
from train.keras import keras, layers, tf

SIDE = 32
LABELS = "dark", "light"


def picture(label: int, number: int) -> np.ndarray:
    """BGR uint8 of one grey, with noise: the greys of the two labels overlap, so some answers must be wrong."""
    random = np.random.default_rng([label, number])
    grey = random.normal((118, 138)[label], 15)
    return np.clip(random.normal(grey, 12, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def classifier(frames: np.ndarray, truth: np.ndarray) -> keras.Model:
    """Of random layers of all the kinds that a backbone has, with a solved head."""
    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, 2, "same", use_bias=False)(image)))
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, 1, "same", use_bias=False)(x)))
    x = layers.Add()([x, layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(x))])
    features = layers.GlobalAveragePooling2D(name="features")(x)
    dense = layers.Dense(len(LABELS), activation="softmax", name="scores")
    model = keras.Model(image, dense(features))
    tensors = frames[..., ::-1].astype(np.float32) / 127.5 - 1
    head = solve_lda(keras.Model(image, features).predict(tensors, verbose=0), truth, len(LABELS))
    # What all labels have in common says nothing, and would take all levels of 8 bits.
    dense.set_weights([head.kernel - head.kernel.mean(axis=1, keepdims=True), head.bias - head.bias.mean()])
    return model


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """`export/` of all schemes, and its report."""
    root = tmp_path_factory.mktemp("schemes")
    known = []
    for split, count in (("train", 100), ("validation", 150)):
        for label, name in enumerate(LABELS):
            folder = root / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                frame = picture(label, number + 1000 * (split == "train"))
                cv2.imwrite(str(folder / f"{number:03}.png"), frame)
                known += [(frame, label)] if split == "train" else []
    classifier(np.stack([frame for frame, _ in known]), np.array([label for _, label in known])).save(
        root / "own.keras"
    )
    spec = ModelSpec(LABELS, (SIDE, SIDE), mean=(127.5,) * 3, std=(127.5,) * 3, backbone="by hand")
    (root / "spec.json").write_text(spec.to_json())
    job = run_here(
        "convert", root / "own.keras", "--data", root / "photos", "--spec", root / "spec.json", "--out", root / "out",
        "--scheme", "all", "--calibration", 50, "--tolerance", 10,
    )  # fmt: skip
    assert job.returncode == 0, job.stdout + job.stderr
    return root / "out" / "export", json.loads((root / "out" / "export" / "report.json").read_text())


def test_every_scheme_is_there(converted: tuple[Path, dict]) -> None:
    _, report = converted
    assert not report["skipped"]
    assert {row["scheme"] for row in report["variants"]} == set(SCHEMES)
    assert 0.6 < report["reference"]["accuracy"] < 0.9


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_told_is_what_another_runtime_finds(scheme: str, converted: tuple[Path, dict]) -> None:
    folder, report = converted
    row = next(row for row in report["variants"] if row["scheme"] == scheme)
    assert row["verdict"] == "pass", row
    interpreter = tf.lite.Interpreter(str(folder / row["file"]))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    right, count = 0, 150
    for label in range(len(LABELS)):
        for number in range(count):
            tensor = picture(label, number)[None, ..., ::-1].astype(np.float32)
            if taken["dtype"] == np.float32:
                tensor = tensor / 127.5 - 1
            interpreter.set_tensor(taken["index"], tensor.astype(taken["dtype"]))
            interpreter.invoke()
            right += int(interpreter.get_tensor(given["index"])[0].argmax() == label)
    assert row["accuracy"] == pytest.approx(right / (2 * count), abs=2.5 / (2 * count))  # PNG is exact; ties are not
    assert row["accuracy"] < 0.9
