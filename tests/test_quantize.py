"""Quantization of a float graph: every recipe, its bias correction, its input and its end."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from convert.calibrate import Seen, input_levels, observe
from convert.correct import correct
from convert.graph import Graph, run
from convert.head import linear, tail
from convert.quantize import RECIPES, quantize
from edge.model.contract import ModelSpec
from edge.model.interpreter import Interpreter
from edge.model.preprocess import lookup_table, prepare
from train.backbones import SIGNED
from train.keras import converted, keras, layers

SIDE, LABELS = 32, tuple("abcdefgh")
SIGNED_SPEC = ModelSpec(LABELS, (SIDE, SIDE), mean=SIGNED[0], std=SIGNED[1])
FRAMES = [np.random.default_rng(i).integers(0, 60 + 30 * (i % 7), (SIDE, SIDE, 3), np.uint8) for i in range(40)]


@cache
def float_graph() -> bytes:
    """Convolutions, depthwise ones and a linear head, with weights of uneven size and activations far from zero."""
    keras.utils.set_random_seed(3)
    x = image = keras.Input((SIDE, SIDE, 3))
    for width in (16, 24):
        x = layers.Conv2D(width, 3, strides=2, padding="same", activation="relu", bias_initializer="ones")(x)
        x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Softmax()(layers.Dense(len(LABELS), bias_initializer="ones")(x)))
    generator = np.random.default_rng(0)
    model.set_weights([weight * generator.choice([0.3, 1, 2], weight.shape) for weight in model.get_weights()])
    graph = Graph(converted(model))
    graph.name_apart()
    return graph.pack()


@cache
def seen() -> dict[str, Seen]:
    return observe(Graph(float_graph()), (prepare(frame, SIGNED_SPEC) for frame in FRAMES))


def answers(data: bytes) -> np.ndarray:
    interpreter = Interpreter(data, 1)
    return np.concatenate([interpreter.invoke(prepare(frame, SIGNED_SPEC, interpreter.input)) for frame in FRAMES])


def answers_in_tflite_runtime(folder: Path) -> dict[str, np.ndarray]:
    """Of all graphs of a folder, in a process of its own: TensorFlow's symbols in this one would be taken for its."""
    np.save(folder / "frames.npy", FRAMES)
    code = (
        "import sys; from pathlib import Path; import numpy as np; folder = Path(sys.argv[1])\n"
        "from edge.model.contract import ModelSpec; from edge.model.interpreter import Interpreter\n"
        "from edge.model.preprocess import prepare\n"
        "spec, frames = ModelSpec.from_json((folder / 'spec.json').read_text()), np.load(folder / 'frames.npy')\n"
        "def scores(path):\n"
        "    model = Interpreter(path.read_bytes(), 1, 'tflite-runtime')\n"
        "    return np.concatenate([model.invoke(prepare(frame, spec, model.input)) for frame in frames])\n"
        "np.savez(folder / 'out.npz', **{path.stem: scores(path) for path in folder.glob('*.tflite')})\n"
    )
    (folder / "spec.json").write_text(SIGNED_SPEC.to_json())
    subprocess.run([sys.executable, "-c", code, folder], check=True, cwd=ROOT)
    return dict(np.load(folder / "out.npz"))


def test_every_recipe_stays_near_the_float_graph_in_both_runtimes(tmp_path: Path) -> None:
    for recipe in RECIPES:
        made = quantize(float_graph(), recipe, SIGNED_SPEC, None if recipe == "float16" else seen())
        assert len(made) < 0.8 * len(float_graph()), recipe
        found = answers(made)
        assert np.abs(found - answers(float_graph())).max() < 0.03, recipe
        assert found.sum(axis=1) == pytest.approx(1, abs=1e-5), recipe  # float scores
        (tmp_path / f"{recipe}.tflite").write_bytes(made)
    pytest.importorskip("tflite_runtime")
    for recipe, found in answers_in_tflite_runtime(tmp_path).items():
        assert np.abs(found - answers(float_graph())).max() < 0.03, recipe


def test_what_the_pictures_show() -> None:
    """Ranges and means of a tensor inside against a run of the graph up to there, by numpy."""
    graph = Graph(float_graph())
    inner = next(op for op in graph.operators if graph.kind(op) == "DEPTHWISE_CONV_2D").inputs[0]
    tensors = [prepare(frame, SIGNED_SPEC) for frame in FRAMES]
    values = np.concatenate(
        [found for (found,) in run(graph.cut(graph.operators, graph.part.inputs, [inner]), ([x] for x in tensors))]
    )
    found = seen()[graph.name(inner)]
    assert (found.low, found.high) == pytest.approx((values.min(), values.max()))
    assert found.mean == pytest.approx(values.mean(axis=(0, 1, 2)), rel=1e-4)


@pytest.mark.parametrize("recipe", ["int8", "weight-int8", "dynamic"])
def test_bias_correction_takes_the_mean_error_away(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def mean_error(data: bytes) -> float:
        """Of the features, by channel, over all pictures."""
        return float(np.abs(features(data) - features(float_graph())).mean())

    def features(data: bytes) -> np.ndarray:
        graph = Graph(data)
        (dense,) = linear(graph)
        inputs = Interpreter(data).input
        made = run(
            graph.cut(graph.operators, graph.part.inputs, [dense.inputs[0]]),
            ([prepare(f, SIGNED_SPEC, inputs)] for f in FRAMES),
        )
        return np.mean([graph.real(dense.inputs[0], values) for (values,) in made], axis=(0, 1))

    corrected = mean_error(quantize(float_graph(), recipe, SIGNED_SPEC, seen()))
    monkeypatch.setattr("convert.quantize.correct", lambda *arguments: 0)
    assert corrected < 0.5 * mean_error(quantize(float_graph(), recipe, SIGNED_SPEC, seen()))


def test_every_layer_with_8_bit_weights_is_corrected() -> None:
    made = Graph(quantize(float_graph(), "int8", SIGNED_SPEC, seen()))
    assert correct(made, Graph(float_graph()), seen()) == 5


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        (127.0, 128.0, (1 / 128, 127, 0.0)),  # EfficientNet-Lite
        (127.5, 127.5, (1 / 127.5, 127, 0.5 / 127.5)),  # half a level too high
        (0.0, 255.0, (1 / 255, 0, 0.0)),  # 0 to 1
        (123.68, 1.0, (1.0, 124, -0.32)),  # a third of a level too low
    ],
)
def test_pixels_are_the_levels_of_the_input(mean: float, std: float, expected: tuple) -> None:
    spec = ModelSpec(LABELS, (SIDE, SIDE), mean=(mean,) * 3, std=(std,) * 3)
    assert input_levels(spec) == pytest.approx(expected)
    made = quantize(float_graph(), "int8", spec, seen())
    taken = Interpreter(made).input
    assert taken.dtype == "uint8"
    assert lookup_table(spec.mean, spec.std, taken) is None


def test_channels_of_their_own_normalization_use_all_levels() -> None:
    spec = ModelSpec(LABELS, (SIDE, SIDE), mean=(124.0, 116.0, 104.0), std=(58.0, 57.0, 57.0))
    scale, zero_point, offset = input_levels(spec)
    table = lookup_table(spec.mean, spec.std, Interpreter(quantize(float_graph(), "int8", spec, seen())).input)
    assert table is not None
    assert (table.min(), table.max(), offset) == (0, 255, 0.0)
    assert scale * (255 - zero_point) == pytest.approx((255 - 104) / 57, abs=scale)


def test_the_head_is_found_and_stays_float() -> None:
    graph = Graph(float_graph())
    assert [graph.kind(operator) for operator in tail(graph)] == ["FULLY_CONNECTED", "SOFTMAX"]
    assert len(linear(graph)) == 1
    made = Graph(quantize(float_graph(), "int8", SIGNED_SPEC, seen()))
    assert [made.kind(operator) for operator in made.operators][-3:] == ["DEQUANTIZE", "FULLY_CONNECTED", "SOFTMAX"]


def test_equal_vectors_are_written_once_and_nothing_else_changes() -> None:
    made = quantize(float_graph(), "int8", SIGNED_SPEC, seen())
    again = Graph(made).pack()
    assert len(again) == len(made)
    assert np.array_equal(answers(again), answers(made))
