"""Other people's models: a contract for a `.tflite` file that carries none.

What its standard TFLite Metadata says is taken; what they do not say must be given (`--labels --mean --std`); what
only custom says is told in one line on standard error.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import UserError
from edge.model.contract import ModelFile, ModelSpec
from edge.model.graph import Graph, Tensor, read_graph
from edge.model.interpreter import Interpreter, load_runtime
from edge.model.judge import LOGITS, PROBABILITIES, judge
from edge.model.labels import decode, read_labels, read_value
from edge.model.preprocess import prepare
from edge.model.trust import survive
from edge.model.units import pixel_units

_INPUTS = ("float32", "float16", "uint8", "int8", "int16", "int32")
_TEXTS = (".txt", ".json", ".yaml", ".yml", ".csv", ".names", ".pbtxt")
_DETECTOR = "it finds things in a picture and where they are: expected a classifier, with one score a label"


def adopt(
    file: ModelFile,
    *,
    labels: str | Path | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    resize: str | None = None,
    runtime: str | None = None,
) -> ModelFile:
    """A model without a contract, with one (`contract_of`); what was only guessed is told on standard error."""
    spec, notes = contract_of(file, labels=labels, mean=mean, std=std, resize=resize, runtime=runtime)
    if resize is None:
        notes.append(f"{notes.pop()}; --resize stretch, crop or pad if it was trained so")
    for note in notes:
        print(f"note: {file.path}: {note}", file=sys.stderr)
    return replace(file, spec=spec)


def contract_of(
    file: ModelFile,
    *,
    labels: str | Path | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    resize: str | None = None,
    runtime: str | None = None,
) -> tuple[ModelSpec, list[str]]:
    """The contract of a model that has none, and in sentences what of it was only guessed.

    Args:
        file: as `edge.model.contract.read_model` gives it.
        labels: a file of labels, in any form that `edge.model.labels` reads.
        mean, std: one number or three in RGB order, in pixel units: the float input is (pixel - mean) / std. Those of
            pixels from 0 to 1 are recognized.
        resize: "stretch", "crop" or "pad"; None for what its maker is known to use, else "stretch".
        runtime: to look at its outputs with, where the graph alone does not tell what they are.

    Raises:
        UserError: if it is no classifier, something is neither known nor given, or the file contradicts itself.
    """
    try:
        graph = read_graph(file.graph)
    except ValueError as error:
        raise UserError(f"{file.path}: damaged: {error}") from error
    notes: list[str] = []
    known = dict(file.known)
    try:
        _check(graph, file)
        known |= _told(file.files)
        lines = _labels(file, graph, labels, notes)
        mean = mean or graph.mean or known.get("mean", ())
        std = std or graph.std or known.get("std", ())
        spec = ModelSpec(
            labels=tuple(lines),
            size=(graph.inputs[0].shape[1], graph.inputs[0].shape[2]),
            resize=resize or known.get("resize", "stretch"),
            provenance={"origin": "not made by FrostLite"},
        )
        spec = replace(spec, **_normalization(graph.inputs[0], mean, std, notes))
        spec = replace(spec, output=_output(file, graph, spec, runtime))
    except ValueError as error:
        raise UserError(f"{file.path}: {error}") from error
    if graph.scores == 1:
        notes.append(f"one output: its score is that of {lines[1]}, the rest to 1 that of {lines[0]}")
    if spec.output == LOGITS:
        notes.append("its outputs are no probabilities: they are taken for logits")
    if resize is None:
        how = f"fitted by {spec.resize}, as its maker does" if "resize" in known else "stretched to the input"
        notes.append(f"frames are {how}")
    return spec, notes


def _check(graph: Graph, file: ModelFile) -> None:
    """Raise ValueError, in a sentence with the remedy, for what does not take one picture and give a score a label."""
    found = ", ".join(map(str, graph.outputs)) or "none"
    if any("edgetpu" in name for name in graph.custom):
        plain = file.path.name.replace("_edgetpu", "")
        other = plain if plain != file.path.name else "the .tflite that it was compiled from"
        raise ValueError(f"compiled for an Edge TPU, which only a Coral device runs: take {other} instead")
    flex = [name for name in graph.custom if name.startswith("Flex")]
    boxes = any(len(each.shape) == 3 and each.shape[-1] == 4 for each in graph.outputs)
    if (boxes and len(graph.outputs) > 1) or any("Detection" in name for name in graph.custom):
        raise ValueError(f"a detector ({len(graph.outputs)} outputs: {found}): {_DETECTOR}")
    if flex:
        raise ValueError(
            f"it needs operations of TensorFlow ({', '.join(flex[:3])}), which no TFLite runtime has: convert it with "
            "TFLITE_BUILTINS alone"
        )
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        taken = ", ".join(map(str, graph.inputs)) or "none"
        raise ValueError(
            f"expected one input, a picture, and one output, a score for each label; found the inputs {taken} and the "
            f"outputs {found}: export the model with these alone"
        )
    image, given = graph.inputs[0], graph.outputs[0]
    expected = "expected an input (1, height, width, 3)"
    if len(image.shape) == 4 and image.shape[1] == 3 != image.shape[3]:
        raise ValueError(
            f"{expected}, found {image}: channels come first in it, as in PyTorch: convert it with them last"
        )
    if len(image.shape) == 4 and image.shape[3] == 3 and (not image.fixed or min(image.shape[1:3]) < 2):
        raise ValueError(f"{expected}, found one that leaves its size open: convert it with a fixed height and width")
    if len(image.shape) == 4 and image.shape[3] == 3 and image.shape[0] != 1:
        raise ValueError(f"{expected}, found {image}: convert it with a batch of one")
    if len(image.shape) != 4 or image.shape[3] != 3:
        grey = ": it takes grey pictures; train it on colour" if image.shape[3:] == (1,) else ""
        raise ValueError(f"{expected}, found {image}{grey}")
    if image.type not in _INPUTS:
        raise ValueError(f"{expected} of {', '.join(_INPUTS)}, found {image}")
    sides = [side for side in given.shape if side != 1]
    if len(given.shape) == 3 and len(sides) > 1:
        raise ValueError(f"a detector (output {given}): {_DETECTOR}")
    if len(sides) > 1:
        raise ValueError(f"expected an output with one score for each label, (1, labels), found {given}")
    if graph.operation in ("argmax", "argmin") or given.type in ("int64", "int32", "bool", "string"):
        raise ValueError(f"its output is the number of a label ({given}): export it without the argmax at its end")


def _told(files: dict[str, bytes]) -> dict[str, Any]:
    """What the metadata that Ultralytics puts behind its models say of preprocessing.

    Raises:
        ValueError: if they say that it is no classifier.
    """
    for name, data in files.items():
        if not name.lower().endswith(_TEXTS):
            continue
        try:
            value = read_value(decode(data)[0])
        except ValueError:
            continue
        if isinstance(value, dict) and "names" in value and "task" in value:
            if value["task"] != "classify":
                raise ValueError(f"made for the task {value['task']}: {_DETECTOR}")
            return {"mean": (0.0,), "std": (255.0,), "resize": "crop"}
    return {}


def _labels(file: ModelFile, graph: Graph, given: str | Path | None, notes: list[str]) -> list[str]:
    expected = max(graph.scores, 2)  # one sigmoid: of the second label, against the first
    if given is not None:
        try:
            texts = {f"--labels {given}": Path(given).read_bytes()}
        except OSError as error:
            raise UserError(f"--labels: {given}: expected a file, found: {error.strerror}") from error
    else:
        named = [name for name in graph.label_files if name in file.files]
        texts = {name: file.files[name] for name in named or file.files if name.lower().endswith(_TEXTS) or named}
    good, wrong = [], []
    for name, data in texts.items():
        try:
            lines, remarks = read_labels(data, expected)
        except ValueError as error:
            wrong.append(f"{name}: {error}")
            continue
        if len(lines) == expected:
            good.append((lines, remarks))
        else:
            meaning = (
                "for its one output: first the negative, then the positive" if graph.scores == 1 else "one an output"
            )
            wrong.append(f"expected {expected} labels, {meaning}, found {len(lines)} in {name}")
    if len(good) != 1:
        if not good and len(wrong) == 1:
            raise ValueError(wrong[0])
        raise ValueError(f"it does not say its labels: give --labels FILE with {expected} lines")
    notes += good[0][1]
    return good[0][0]


def _normalization(taken: Tensor, mean: Sequence[float], std: Sequence[float], notes: list[str]) -> dict[str, Any]:
    """Mean and std for a contract."""
    if mean and std:
        three = pixel_units(mean, std, notes)
        if not taken.scale or _fits(taken, *three):
            return dict(zip(("mean", "std"), three, strict=True))
        notes.append("with its normalization its quantized input is full at once")
    if taken.type in ("uint8", "int8"):
        shift = taken.zero_point + (128 if taken.type == "int8" else 0)
        notes.append(f"{taken.type} input without normalization: pixels go in as they are")
        return {"mean": (float(shift),) * 3, "std": (1 / (taken.scale or 1.0),) * 3}
    raise ValueError(
        "it does not say its normalization: give --mean and --std in pixel units "
        "(127.5 127.5 for -1 to 1, 0 255 for 0 to 1)"
    )


def _fits(taken: Tensor, mean: Sequence[float], std: Sequence[float]) -> bool:
    """Whether most pixel values lie within what a quantized input can hold."""
    levels = (np.arange(256)[:, None] - np.array(mean)) / np.array(std) / taken.scale + taken.zero_point
    limits = np.iinfo(taken.type)
    return bool(((levels >= limits.min - 2) & (levels <= limits.max + 2)).mean() > 0.5)


def _output(file: ModelFile, graph: Graph, spec: ModelSpec, runtime: str | None) -> str:
    """Whether it gives probabilities or logits: by its last operation, or by its outputs for some made-up pictures."""
    if graph.operation == "softmax" and graph.scores > 1:
        return PROBABILITIES
    if graph.scores == 1 and graph.operation in ("sigmoid", "linear"):
        return judge(np.zeros((1, 1), np.float32), graph.operation)
    if graph.operation not in ("", "linear", "log_softmax"):  # refused, whatever it says
        return judge(np.zeros((1, graph.scores), np.float32), graph.operation)
    try:
        runtime, _ = load_runtime(runtime)
        survive(file.graph, runtime)
        interpreter = Interpreter(file.graph, 1, runtime)
    except UserError as error:
        raise ValueError(str(error)) from error
    pictures = [prepare(frame, spec, interpreter.input) for frame in _frames()]
    outputs = [interpreter.invoke(picture).reshape(-1).copy() for picture in pictures]
    return judge(np.stack(outputs), graph.operation, interpreter.output.scale)


def _frames() -> list[np.ndarray]:
    """Pictures that differ much, BGR uint8: colours, a ramp, and coarse noise."""
    colours = [(0, 0, 0), (255, 255, 255), (120, 120, 120), (220, 40, 30), (40, 200, 60), (30, 50, 210)]
    noise = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None], (64, 64, 3))
    return [*(np.full((64, 64, 3), colour, np.uint8) for colour in colours), np.ascontiguousarray(ramp), *noise]
