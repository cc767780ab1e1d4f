"""Models that others made with sigmoids at the end, which say nothing of themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device import SIDE, flat

from edge import Classifier
from edge.errors import UserError
from edge.model.contract import ModelFile, read_model
from edge.model.foreign import adopt
from edge.quiet import quiet
from train.keras import keras, layers, lite_converter, tf

RED, BLUE, BETWEEN = flat(220, 20), flat(20, 220), flat(120, 120)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ModelFile]:
    """Models of the red mean minus the blue mean, times 4, in so many outputs."""
    folder = tmp_path_factory.mktemp("foreign")

    def make(activation: str, units: int, int8: bool = False) -> ModelFile:
        path = folder / f"{activation}-{units}-{int8}.tflite"
        start = keras.Input((SIDE, SIDE, 3), batch_size=1)
        dense = layers.Dense(units, activation=activation)
        model = keras.Model(start, dense(layers.GlobalAveragePooling2D()(start)))
        dense.set_weights([np.array([[4], [0], [-4]], np.float32).repeat(units, 1), np.zeros(units, np.float32)])
        with quiet():
            converter: Any = lite_converter(model)
            if int8:
                converter.representative_dataset = lambda: (
                    [np.full((1, SIDE, SIDE, 3), (red, 0.1, 1 - red), np.float32)] for red in np.linspace(0, 1, 9)
                )
                converter.inference_input_type = converter.inference_output_type = tf.int8
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            path.write_bytes(converter.convert())
        return read_model(path)

    return make


def labels(folder: Path, *names: str) -> Path:
    path = folder / "labels.txt"
    path.write_text("".join(f"{name}\n" for name in names))
    return path


@pytest.mark.parametrize("kind", ["float32", "int8", "logit"])
def test_one_output_answers_for_two_labels(kind: str, made: Callable[..., ModelFile], tmp_path: Path) -> None:
    """The score is the sigmoid of 4 (red - blue); its logit alone, without a sigmoid, gives the same."""
    file = made("linear" if kind == "logit" else "sigmoid", 1, kind == "int8")
    spec = adopt(file, labels=labels(tmp_path, "blue", "red"), mean=(0,), std=(255,))
    with Classifier(spec) as classifier:
        assert [classifier.classify(frame).label for frame in (RED, BLUE)] == ["red", "blue"]
        for frame, difference in ((RED, 200 / 255), (BLUE, -200 / 255), (BETWEEN, 0.0)):
            red = 1 / (1 + np.exp(-4 * difference))
            tolerance = 0.02 if kind == "int8" else 1e-4
            assert classifier.scores(frame) == pytest.approx([1 - red, red], abs=tolerance)


@pytest.mark.parametrize(
    ("activation", "units", "names", "message"),
    [
        ("sigmoid", 1, ["red"], "expected 2 labels, .*first the negative"),  # the name of the positive class alone
        ("sigmoid", 1, [], "expected 2 labels"),  # none: not taken for a background either
        ("sigmoid", 1, ["a", "b", "c"], "expected 2 labels"),
        ("sigmoid", 3, ["a", "b", "c"], "3 sigmoids"),  # several labels may hold at once
        ("softmax", 1, ["a", "b"], "softmax over one output"),  # a mistake of its maker: always 1
    ],
)
def test_what_would_answer_wrongly_is_one_line(
    activation: str, units: int, names: list[str], message: str, made: Callable[..., ModelFile], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        adopt(made(activation, units), labels=labels(tmp_path, *names), mean=(0,), std=(255,))
    assert len(str(caught.value).splitlines()) == 1
