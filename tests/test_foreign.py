"""Models that others made, in all the ways to end and to feed one: the right scores, or one line with the remedy."""

import json
import zipfile
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
from edge.model.judge import LOGITS, PROBABILITIES, judge
from edge.model.units import pixel_units
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


def graph_of(
    outputs: Callable[[Any], Any], shape: tuple[int | None, ...] = (SIDE, SIDE, 3), batch: int | None = 1
) -> bytes:
    """A float graph of what `outputs` makes of the mean colour (batch, channels)."""
    start = keras.Input(shape, batch_size=batch)
    made = outputs(layers.GlobalAveragePooling2D()(start))
    module = tf.Module()
    module.model = keras.Model(start, made)
    taken = [tf.TensorSpec((batch, *shape), tf.float32)]
    with quiet():
        concrete = tf.function(module.model, input_signature=taken).get_concrete_function()
        return tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()


KERNEL = np.array(
    [[4, 0, -4], [0, 1, 0], [-4, 0, 4]], np.float32
)  # from RGB to blue?, green?, red? the other way round


def linear(colour: Any) -> Any:
    return tf.matmul(colour, tf.constant(KERNEL))


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def right(frame: np.ndarray) -> np.ndarray:
    """The softmax of `linear` of a flat frame, by hand."""
    return softmax(frame[0, 0, ::-1].astype(np.float64) / 255 @ KERNEL)


@pytest.mark.parametrize(
    "end",
    {
        "softmax": lambda x: tf.nn.softmax(linear(x)),
        "softmax, reshape": lambda x: tf.reshape(tf.nn.softmax(linear(x)), (1, 1, 1, 3)),
        "softmax, squeeze": lambda x: tf.squeeze(tf.nn.softmax(linear(x)), 0),
        "average of softmaxes": lambda x: layers.Average()([tf.nn.softmax(linear(x)), tf.nn.softmax(linear(x))]),
        "mean of softmaxes": lambda x: tf.reduce_mean(tf.stack([tf.nn.softmax(linear(x))] * 3), 0),
        "softmax by hand": lambda x: tf.exp(linear(x)) / tf.reduce_sum(tf.exp(linear(x)), -1, keepdims=True),
        "softmax, turned": lambda x: tf.reverse(tf.nn.softmax(tf.reverse(linear(x), [1])), [1]),
        "logits": linear,
        "logits, reshape": lambda x: tf.reshape(linear(x), (1, 1, 1, 3)),
        "log softmax": lambda x: tf.nn.log_softmax(linear(x)),
        "logits, shifted": lambda x: linear(x) + 7.0,
    }.items(),
    ids=lambda case: case[0],
)  # fmt: skip
def test_every_end_gives_the_right_scores(end: tuple[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(graph_of(end[1]))
    file = adopt(read_model(path), labels=labels(tmp_path, "red", "green", "blue"), mean=(0,), std=(255,))
    assert file.spec is not None
    assert file.spec.output == ("logits" if "log" in end[0] else "probabilities")
    with Classifier(file) as classifier:
        for frame in (RED, BLUE, BETWEEN):
            assert classifier.scores(frame) == pytest.approx(right(frame), abs=1e-4)


@pytest.mark.parametrize(
    ("end", "count", "message"),
    [
        (lambda x: tf.tanh(linear(x)[:, :1]), 2, "last operation is tanh.*one sigmoid"),
        (lambda x: tf.nn.relu(linear(x)), 3, "last operation is relu.*a softmax"),
        (lambda x: tf.nn.relu6(linear(x)), 3, "last operation is relu6"),
        (lambda x: tf.reshape(tf.nn.softmax(linear(x)[:, :1]), (1, 1)), 2, "softmax over one output"),
        (lambda x: tf.sigmoid(linear(x)), 3, "3 sigmoids"),
        (lambda x: tf.reshape(tf.sigmoid(linear(x)[:, :2]), (1, 1, 2)), 2, "2 sigmoids"),
        (lambda x: (tf.sigmoid(linear(x)) + tf.sigmoid(2 * linear(x))) / 2, 3, "do not sum to 1"),
        (lambda x: 100 * tf.nn.softmax(linear(x)), 3, "sum to 100 for every picture"),  # percentages
        (lambda x: tf.argmax(linear(x), axis=1), 2, "without the argmax"),
        (lambda x: [tf.nn.softmax(linear(x)), x], 3, "one input, a picture, and one output"),
        (lambda x: [tf.reshape(x, (1, 1, 3)), tf.reshape(tf.tile(x, (1, 4)), (1, 3, 4))], 3, "a detector"),
        (lambda x: tf.reshape(tf.tile(x, (1, 4)), (1, 6, 2)), 3, "a detector"),
        (lambda x: tf.reshape(tf.tile(x, (1, 4)), (1, 2, 2, 3)), 3, "one score for each label"),
    ],
)  # fmt: skip
def test_outputs_that_say_nothing_of_a_label_are_one_line(end: Any, count: int, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(graph_of(end))
    with pytest.raises(UserError, match=message) as caught:
        adopt(read_model(path), labels=labels(tmp_path, *"abc"[:count]), mean=(0,), std=(255,))
    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("outputs", "step", "kind"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], 0.0, PROBABILITIES),
        ([[0.90234375, 0.1015625], [0.19921875, 0.796875]], 1 / 256, PROBABILITIES),  # each rounded
        ([[3.0, 9.0, 5.0], [8.0, 2.5, 3.5]], 0.5, LOGITS),  # levels of int8, none below 0 by chance
        ([[3.0, 9.0, 5.0], [8.0, 2.5, 3.5]], 0.0, LOGITS),
        ([[90.0, 10.0], [20.0, 80.0]], 0.0, "sum to 100"),
        ([[90.2, 9.8], [20.0, 80.4]], 0.4, "sum to 100"),  # each rounded
    ],
)
def test_what_the_numbers_tell(outputs: list[list[float]], step: float, kind: str) -> None:
    found = np.array(outputs, np.float32)
    if kind in (PROBABILITIES, LOGITS):
        assert judge(found, "", step) == kind
    else:
        with pytest.raises(ValueError, match=kind):
            judge(found, "", step)


@pytest.mark.parametrize(
    ("shape", "batch", "message"),
    [
        ((3, SIDE, SIDE), 1, "channels come first"),
        ((SIDE, SIDE, 1), 1, "grey"),
        ((SIDE, SIDE, 4), 1, "expected an input"),
        ((SIDE, SIDE, 3), 4, "a batch of one"),
        ((None, None, 3), 1, "leaves its size open"),
    ],
)
def test_inputs_that_are_no_picture_are_one_line(shape: Any, batch: int, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(graph_of(lambda x: tf.nn.softmax(tf.concat([x, x], 1)[:, :2]), shape, batch))
    with pytest.raises(UserError, match=message):
        adopt(read_model(path), labels=labels(tmp_path, "a", "b"), mean=(0,), std=(255,))


@pytest.mark.parametrize(
    ("mean", "std", "pixels", "told"),
    [
        ((0,), (255,), (0, 255), False),
        ((0,), (1,), (0, 1), False),  # raw pixels
        ((127.5,), (127.5,), (127.5, 127.5), False),
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), (123.675, 58.395), False),
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (123.675, 58.395), True),  # as PyTorch has them
        ((0.5,), (0.5,), (127.5, 127.5), True),
        ((0.5,), (1,), (127.5, 255), True),
        ((0,), (0.5,), (0, 127.5), True),
    ],
)
def test_units_of_mean_and_std(mean: Any, std: Any, pixels: tuple[float, float], told: bool) -> None:
    notes: list[str] = []
    means, stds = pixel_units(mean, std, notes)
    assert (means[0], stds[0]) == pytest.approx(pixels)
    assert bool(notes) == told


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.485, 0.456, 0.406), (58.4, 57.1, 57.4), "different units"),
        ((123.7, 116.3, 103.5), (0.229, 0.224, 0.225), "different units"),
        ((0.5,), (127.5,), "different units"),
        ((0,), (1 / 255,), "looks like a factor"),
        ((0,), (0,), "above 0"),
        ((0,), (-1,), "above 0"),
        ((1, 2), (1,), "one number or three"),
    ],
)
def test_units_that_contradict_are_refused(mean: Any, std: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pixel_units(mean, std, [])


def quantized(input_type: Any, output_type: Any, path: Path) -> ModelFile:
    """The softmax of `linear`, in 8 or 16 bits; its float input is pixel / 127.5 - 1."""
    start = keras.Input((SIDE, SIDE, 3), batch_size=1)
    dense = layers.Dense(3, activation="softmax")
    model = keras.Model(start, dense(layers.GlobalAveragePooling2D()(start)))
    dense.set_weights([KERNEL / 2, KERNEL.sum(0) / 2])
    levels = [np.full((1, SIDE, SIDE, 3), colour, np.float32) for colour in np.eye(3) * 2 - 1]
    with quiet():
        converter: Any = lite_converter(model)
        converter.representative_dataset = lambda: ([each] for each in (*levels, levels[0] * 0, -levels[0]))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if input_type == tf.int16:
            sixteen = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            converter.target_spec.supported_ops = [sixteen]
        converter.inference_input_type, converter.inference_output_type = input_type, output_type
        path.write_bytes(converter.convert())
    return read_model(path)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(
    "kinds", [(tf.uint8, tf.uint8), (tf.int8, tf.int8), (tf.int8, tf.float32), (tf.int16, tf.int16)]
)
def test_quantized_inputs_and_outputs(kinds: tuple[Any, Any], given: bool, tmp_path: Path) -> None:
    """A softmax in 8 bits sums to 255 of 256 or so; pixels go in as they are, where nothing else is told."""
    file = quantized(*kinds, tmp_path / "m.tflite")
    how = {"mean": (127.5,), "std": (127.5,)} if given else {}
    if kinds[0] == tf.int16 and not given:
        with pytest.raises(UserError, match="give --mean and --std"):
            adopt(file, labels=labels(tmp_path, "red", "green", "blue"))
        return
    with Classifier(adopt(file, labels=labels(tmp_path, "red", "green", "blue"), **how)) as classifier:
        for frame in (RED, BLUE, BETWEEN):
            scores = classifier.scores(frame)
            assert scores.sum() == pytest.approx(1, abs=1e-5)
            assert scores == pytest.approx(right(frame), abs=0.05)


def behind(graph: bytes, name: str, text: str, path: Path) -> Path:
    path.write_bytes(graph)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, text)
    return path


@pytest.mark.parametrize("write", [json.dumps, str, lambda value: f"task: {value['task']}\nnames: {value['names']}\n"])
def test_the_metadata_of_ultralytics(write: Callable[[Any], str], tmp_path: Path) -> None:
    """Labels and task stand in a file behind the graph; its classifiers take the middle square, 0 to 1."""
    told = {"author": "Ultralytics", "task": "classify", "names": {0: "red", 1: "green", 2: "blue"}}
    path = behind(graph_of(lambda x: tf.nn.softmax(linear(x))), "metadata.json", write(told), tmp_path / "m.tflite")
    with Classifier(path) as classifier:
        assert classifier.spec.resize == "crop"
        assert classifier.scores(RED) == pytest.approx(right(RED), abs=1e-4)
    path = behind(path.read_bytes()[:0] + graph_of(linear), "metadata.json", write({**told, "task": "detect"}), path)
    with pytest.raises(UserError, match="made for the task detect: it finds things"):
        Classifier(path)


def test_a_file_for_an_edge_tpu_names_the_one_to_take(tmp_path: Path) -> None:
    """Its compiler puts the whole graph into one operation of its own; here a graph that has such a name in it."""
    schema = pytest.importorskip("tensorflow.lite.python.schema_py_generated")
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(graph_of(linear)))
    code = model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"edgetpu-custom-op"
    path = tmp_path / "flowers_edgetpu.tflite"
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    with pytest.raises(UserError, match=r"Edge TPU.* take flowers\.tflite instead"):
        Classifier(path)
    code.customCode = b"TFLite_Detection_PostProcess"
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    with pytest.raises(UserError, match="a detector"):
        Classifier(path)
