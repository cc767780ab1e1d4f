"""Conversion: the file says what Keras says, the accuracy stays, and the gate can fail."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run_here

from convert.calibrate import choose_pictures
from convert.choose import choose, device_latencies
from convert.device import device_runtimes
from convert.export import export, widen
from convert.graph import Graph
from convert.head import features_of, linear
from convert.job import Job
from convert.own import as_probabilities
from convert.parity import prove, speeds
from convert.proof import Proof, Sample
from convert.stats import judge
from convert.tell import held_out_alone
from edge import Classifier
from edge.errors import UserError
from edge.model.contract import ModelSpec, read_model
from edge.model.kept import kept
from edge.model.preprocess import lookup_table, prepare
from edge.pictures import read_picture
from train.dataset import Picture
from train.keras import converted, keras, layers
from train.measure import answer_of, predict
from train.model import build_classifier
from train.rundir import read_run


def test_the_report_has_the_keys_that_others_read(colour_run: Path) -> None:
    report = json.loads((colour_run / "export" / "report.json").read_text())
    assert set(report) >= {"reference", "variants", "tolerance_points", "chosen", "proof", "provenance"}
    assert set(report["provenance"]) == {"date", "versions", "processor", "file_sha256", "data_sha256"}
    assert set(report["reference"]) >= {"accuracy", "bytes"}
    for variant in report["variants"]:
        path = colour_run / "export" / variant["file"]
        assert set(variant) >= {"scheme", "accuracy", "drop_points", "drop_interval_points", "mcnemar_p", "agreement"}
        assert set(variant) >= {"score_change", "recall", "calibration_error", "gzip_bytes", "parameters", "peak_bytes"}
        assert variant["bytes"] == path.stat().st_size
        assert set(variant["latency_ms"]) >= {"p50", "p95", "threads"}
        assert variant["runtimes"]["ai-edge-litert"] == "ok"
        assert re.fullmatch(r"pass|undecided: \d+ more pictures needed", variant["verdict"])  # few pictures
        assert variant["flips"] == []
    assert [variant["scheme"] for variant in report["variants"]] == ["float32", "int8"]
    best = (colour_run / "export" / "best.tflite").read_bytes()
    assert best == (colour_run / "export" / f"{report['chosen']}.tflite").read_bytes()


def test_int8_is_small_and_takes_pixels_without_arithmetic(colour_run: Path) -> None:
    sizes = {name: (colour_run / "export" / f"{name}.tflite").stat().st_size for name in ("float32", "int8")}
    assert sizes["int8"] <= 0.3 * sizes["float32"]
    with Classifier(colour_run / "export" / "int8.tflite") as classifier:
        taken = classifier.interpreter.input
        assert (taken.dtype, taken.scale, taken.zero_point) == ("uint8", 1 / 128, 127)
        assert lookup_table(classifier.spec.mean, classifier.spec.std, taken) is None
        assert classifier.interpreter.output.dtype == "float32"


@pytest.mark.parametrize(
    ("scheme", "most"),
    [
        ("float32", 1e-5),  # the same arithmetic in another order
        ("int8", 0.1),  # 8 bits
    ],
)
def test_scores_stay_close_to_keras(scheme: str, most: float, colour_run: Path) -> None:
    run = read_run(colour_run)
    model = keras.models.load_model(colour_run / "model.keras", compile=False)
    expected = predict(answer_of(model), run.spec, run.validation)
    with Classifier(colour_run / "export" / f"{scheme}.tflite") as classifier:
        found = np.stack([classifier.scores(cv2.imread(str(picture.path))) for picture in run.validation])
    assert np.abs(found - expected).max() <= most
    assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.parametrize("taps", [(), ("convolution", "second")])
def test_one_sigmoid_becomes_two_outputs_of_a_linear_head(taps: tuple[str, ...]) -> None:
    """Also where it is of the sum of several depths: the head can be solved anew, and shown why, in both cases."""
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3))
    maps = layers.Conv2D(5, 3, name="second")(layers.Conv2D(4, 3, name="convolution")(image))
    model = build_classifier(keras.Model(image, layers.Conv2D(6, 3)(maps)), 2, output="sigmoid", taps=taps)
    pictures = np.random.default_rng(0).normal(size=(20, 16, 16, 3)).astype(np.float32)
    one = model.predict(pictures, verbose=0)
    two = widen(model).predict(pictures, verbose=0)
    assert two.shape == (20, 2)
    assert np.allclose(two, np.hstack([1 - one, one]), atol=1e-6)
    assert len(linear(Graph(converted(widen(model))))) == (len(taps) + 1)


@pytest.mark.parametrize("side", [16, 8])  # the last map has 3 times 3 places, or one alone
def test_the_features_are_told_in_the_order_of_the_depths(side: int) -> None:
    image = x = keras.Input((side, side, 3))
    for number, channels in enumerate((4, 5, 6)):
        x = layers.Conv2D(channels, 3, 2 if number < 2 else 1, "same", name=f"map_{number}")(x)
    x = layers.Conv2D(7, 2)(x)
    model = build_classifier(keras.Model(image, layers.Conv2D(8, 1)(x)), 3, taps=("map_0", "map_1", "map_2"))
    graph = Graph(converted(model))
    names, _ = features_of(graph)
    widths = {graph.name(number): tensor.shape[-1] for number, tensor in enumerate(graph.tensors)}
    assert [widths[name] for name in names] == [4, 5, 6, 8]


@pytest.mark.parametrize("name", ["rest", "both", "logits_softmax", "temperature", "probabilities"])
@pytest.mark.parametrize("end", ["sigmoid", "flat", "logit"])
def test_a_model_may_call_its_layers_what_it_likes(name: str, end: str) -> None:
    """Also as we call those that we put behind it."""
    image = keras.Input((4, 4, 3))
    logit = layers.Dense(1, name="logits")(layers.Flatten(name=name)(image))
    p = layers.Activation("sigmoid", name="p")(logit)
    outputs = {"sigmoid": p, "flat": layers.Flatten(name="end")(p), "logit": logit}
    model = keras.Model(image, outputs[end])
    spec = ModelSpec(("a", "b"), (4, 4), output="logits" if end == "logit" else "probabilities", temperature=2)
    pictures = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype(np.float32)
    second = 1 / (1 + np.exp(-keras.Model(image, logit)(pictures).numpy() / (2 if end == "logit" else 1)))
    found = widen(as_probabilities(model, spec)[0])(pictures).numpy()
    assert np.allclose(found, np.hstack([1 - second, second]), atol=1e-5)


def test_the_exported_sigmoid_has_one_output_per_label(tmp_path: Path) -> None:
    image = keras.Input((16, 16, 3))
    backbone = keras.Model(image, layers.Conv2D(4, 3)(image))
    model = build_classifier(backbone, 2, output="sigmoid")
    spec = ModelSpec(("a", "b"), (16, 16), mean=(127.5,) * 3, std=(127.5,) * 3)
    (tmp_path / "m.tflite").write_bytes(export(Job(widen(model), spec, [], [], 1.0), "float32")[0])
    frame = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    expected = model.predict(prepare(frame, spec), verbose=0)[0, 0]
    with Classifier(tmp_path / "m.tflite") as classifier:
        assert classifier.scores(frame) == pytest.approx([1 - expected, expected], abs=1e-5)


def test_calibration_is_stratified_shuffled_and_from_training_pictures() -> None:
    pictures = [Picture(Path(str(number)), int(number >= 90), str(number)) for number in range(100)]
    chosen = choose_pictures(pictures, 20)
    assert [sum(picture.label == label for picture in chosen) for label in (0, 1)] == [10, 10]
    assert len({picture.path for picture in chosen}) == 20
    labels = [picture.label for picture in chosen]
    assert labels != sorted(labels)
    assert chosen == choose_pictures(pictures, 20)
    assert len(choose_pictures(pictures, 500)) == 100


def variant(scheme: str, drop: float, milliseconds: float, size: int) -> dict:
    found = {"scheme": scheme, "drop_points": drop, "latency_ms": {"p50": milliseconds}, "bytes": size}
    return {**found, "verdict": "pass" if drop <= 1 else "fail"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("int8", 0.0, 10, 25)], "int8"),  # as fast, smaller
        ([("int8", 0.0, 12, 25)], "int8"),  # a little slower here: within what a laptop can tell
        ([("int8", 0.0, 40, 25)], "float32"),  # much slower
        ([("int8", 1.5, 5, 25)], "float32"),  # loses too much
        ([("int8", -0.5, 10, 25)], "int8"),  # better than before is no loss
        ([("int8", 1.5, 5, 25), ("float16", 0.0, 10, 50)], "float16"),  # the other one is rescued
        ([("int8", 0.0, 10, 25.1), ("qat-int8", 0.0, 9, 25)], "int8"),  # as fast and as small: the simpler one
    ],
)
def test_the_choice(rows: list[tuple], expected: str) -> None:
    chosen, why, good = choose([variant("float32", 0.0, 10, 100), *[variant(*row) for row in rows]], 1.0)
    assert chosen["scheme"] == expected
    assert why
    assert good == any(drop <= 1 for _, drop, *_ in rows)


def test_the_choice_by_size_and_among_undecided_ones() -> None:
    rows = [variant("float32", 0.0, 10, 100), variant("int8", 0.0, 40, 25), variant("float16", 0.0, 9, 50)]
    assert choose(rows, 1.0, "size")[0]["scheme"] == "int8"
    assert choose(rows, 1.0, "speed")[0]["scheme"] == "float16"
    for row in rows[1:]:
        row["verdict"] = "undecided: 9 more pictures needed"
    chosen, why, good = choose(rows, 1.0, "size")
    assert (chosen["scheme"], good) == ("int8", True)
    assert "undecided" in why
    rows[1]["drop_points"] = rows[2]["drop_points"] = 1.5
    assert choose(rows, 1.0)[0]["scheme"] == "float32"


def test_what_was_proved_on_fewer_pictures_is_told_with_what_they_say_of_the_reference() -> None:
    rows = [{**variant("int8", 0.0, 10, 100), "pictures": 500}, {**variant("qat-int8", -0.5, 9, 90), "pictures": 200}]
    (told,) = held_out_alone([{**row, "accuracy": 0.9} for row in rows], 500)
    assert told.startswith("qat-int8 learned from the training pictures once more, so the 200 held out alone")
    assert told.endswith("the Keras model has 89.50% of those right")  # 90 %, and half a point gained


def test_each_file_gets_its_own_time(colour_run: Path, tiny_model: Path) -> None:
    """A backbone takes far longer than a model of a few numbers, in whichever order they take turns."""
    large, runtime = colour_run / "export" / "float32.tflite", device_runtimes()[0]
    for files in ([large, tiny_model], [tiny_model, large]):
        found = speeds(files, read_run(colour_run).validation[0], runtime)
        times = {file: latency["p50"] for file, latency in zip(files, found, strict=True)}
        assert times[large] > 3 * times[tiny_model]
        assert all(latency["p50"] <= latency["p95"] for latency in found)


def test_a_runtime_that_cannot_time_a_file_is_one_line(tmp_path: Path, colour_run: Path) -> None:
    (tmp_path / "no.tflite").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"^timing in "):
        speeds([tmp_path / "no.tflite"], read_run(colour_run).validation[0], device_runtimes()[0])


def test_the_times_of_a_device_choose(tmp_path: Path) -> None:
    rows = [variant("float32", 0.0, 10, 100), variant("int8", 0.0, 5, 25), variant("float16", 0.0, 10, 50)]

    def bench(**milliseconds: float) -> dict[str, float]:
        models = [
            {"scheme": name, "threads": 2, "invoke_ms_by_threads": {"1": {"p50": 99}, "2": {"p50": value}}}
            for name, value in milliseconds.items()
        ]
        (tmp_path / "bench.json").write_text(json.dumps({"models": models}))
        return device_latencies(tmp_path / "bench.json")

    assert choose(rows, 1.0)[0]["scheme"] == "int8"  # twice as fast here
    chosen, why, _ = choose(rows, 1.0, "speed", bench(int8=80.0, float16=30.0, float32=60.0))
    assert (chosen["scheme"], "there" in why) == ("float16", True)  # but not there
    assert choose(rows, 1.0, "speed", bench(float16=30.0))[0]["scheme"] == "float16"  # the others were not timed there
    assert choose(rows, 1.0, "speed", bench(dynamic=1.0))[0]["scheme"] == "int8"  # it has none of these
    for text in ("", "[]", '{"models": [{}]}', '{"models": []}'):
        (tmp_path / "bench.json").write_text(text)
        with pytest.raises(UserError, match="--device-bench"):
            device_latencies(tmp_path / "bench.json")


SPOILED: dict[str, Callable[[list[np.ndarray]], list[np.ndarray]]] = {
    "weights noised": lambda head: [each + np.random.default_rng(0).normal(0, 3, each.shape) for each in head],
    "labels swapped": lambda head: [each[..., ::-1] for each in head],
}


@pytest.mark.parametrize("how", [*SPOILED, "BGR for RGB"])
def test_a_spoiled_model_is_caught(how: str, colour_run: Path, tmp_path: Path) -> None:
    """Of a model that is right, a variant with another head or other channels is refused, whatever its scores."""
    run = read_run(colour_run)
    model = keras.models.load_model(colour_run / "model.keras", compile=False)
    pictures = [*run.train, *run.validation] * 4  # as many as decide
    truth = np.array([picture.label for picture in pictures])
    sample = Sample(pictures, run.spec.labels, np.eye(2)[truth], "validation")
    spoiled = keras.models.clone_model(model)
    spoiled.set_weights(model.get_weights())
    if how in SPOILED:
        for layer in spoiled.layers:
            if layer.name.startswith("logits") and layer.weights:
                layer.set_weights(SPOILED[how](layer.get_weights()))
    else:
        image = keras.Input(model.input_shape[1:])
        spoiled = keras.Model(image, model(layers.Lambda(lambda x: x[..., ::-1])(image)))
    data, _ = export(Job(spoiled, run.spec, run.train, [], 1.0), "float32")
    (tmp_path / "spoiled.tflite").write_bytes(data)
    figures, *_ = prove(tmp_path / "spoiled.tflite", Proof(sample, run.spec), device_runtimes()[:1])
    assert judge([figures], 1.0) == ["fail"]
    good, *_ = prove(colour_run / "export" / "float32.tflite", Proof(sample, run.spec), device_runtimes()[:1])
    assert judge([good], 1.0) == ["pass"]


def test_equal_runs_give_equal_bytes(colour_run: Path, tmp_path: Path) -> None:
    again = tmp_path / "colours"
    shutil.copytree(colour_run, again, ignore=shutil.ignore_patterns("export"))
    job = run_here("convert", again, "--scheme", "int8", "--calibration", 20, "--accept", "undecided")
    assert job.returncode == 0, job.stderr
    for name in ("float32.tflite", "int8.tflite"):
        assert (again / "export" / name).read_bytes() == (colour_run / "export" / name).read_bytes()
    assert replace(read_run(colour_run).spec, scheme="x") != read_run(colour_run).spec


def test_bad_input_is_one_line_and_status_2(colour_run: Path, colours: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(colour_run, damaged, ignore=shutil.ignore_patterns("export"))
    (damaged / "model.keras").write_text("no model")
    cases = [
        ((tmp_path / "none",), "none"),  # no such folder
        ((colours,), "colours"),  # a folder, but no run
        ((damaged,), "model.keras"),  # its model is none
        ((colour_run, "--scheme", "int3"), "int3"),  # no such scheme
        ((colour_run, "--tolerance", "-1"), "--tolerance"),  # out of range
    ]
    for arguments, name in cases:
        job = run_here("convert", *arguments)
        assert job.returncode == 2, (arguments, job)
        assert name in job.stderr.strip().splitlines()[-1], (arguments, job.stderr)
        assert "Traceback" not in job.stderr


def test_a_file_knows_what_its_training_pictures_look_like(colour_run: Path) -> None:
    """Every training picture gets its label; a chessboard, which is neither blue nor red, is like none of them."""
    file = read_model(colour_run / "export" / "int8.tflite")
    assert file.spec
    report = json.loads((colour_run / "export" / "report.json").read_text())
    (told,) = (row["likeness"] for row in report["variants"] if row["scheme"] == "int8")
    assert (told["right"], told["refused"]) == (84, 0)
    assert file.spec.provenance["likeness"] == told
    with Classifier(file) as classifier:
        results = [classifier.classify(read_picture(picture.path)) for picture in read_run(colour_run).train]
        board = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((16, 16))).astype(np.uint8)
        foreign = classifier.classify(np.dstack([255 * board] * 3))
    assert sum(result.why == "unlike" for result in results) <= 1
    assert foreign.why == "unlike"
    found = kept(file.files, file.spec)
    assert found is not None
    assert results[0].features is not None
    assert found[0].shape == (told["vectors"], results[0].features.size)
    assert set(found[1]) == {0, 1}
