"""Models and pictures of unknown origin: whatever is in them, no process dies of it.

Each batch runs in a child process, so that a crash is a failing test and not the end of all tests. FROSTLITE_SLOW=1
runs the full numbers.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run_module
from device import flat

from edge import Classifier
from edge.model import trust
from edge.model.contract import read_model
from edge.model.graph import read_graph

FULL = bool(os.environ.get("FROSTLITE_SLOW"))
MODELS, RESEALED, PICTURES = (2000, 300, 5000) if FULL else (400, 12, 1500)

MUTATE = """
import random, sys
from pathlib import Path

def mutate(data, seed):
    dice = random.Random(seed)
    data = bytearray(data)
    kind = seed % 4
    if kind == 0:
        return bytes(data[: dice.randrange(len(data))])
    for _ in range(dice.choice((1, 3, 20))):
        at = dice.randrange(len(data)) if kind < 3 else len(data) - 1 - dice.randrange(min(2000, len(data)))
        data[at] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
    if kind == 2:
        at = dice.randrange(len(data))
        data[at:at] = dice.randbytes(dice.randrange(1, 50))
    return bytes(data)

original, out, count = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3])
"""

MODEL_BATCH = (
    MUTATE
    + """
from edge import Classifier, UserError
from edge.model.contract import read_model
refused = 0
for seed in range(count):
    data = mutate(original, seed)
    out.write_bytes(data)
    try:
        with Classifier(out, threads=1):
            size = len(read_model(out).graph)
            assert data[:size] == original[:size]  # its hash is right
    except UserError as error:
        refused += 1
        assert len(str(error).splitlines()) == 1, error
print(refused)
"""
)

# Graphs that were changed on purpose: their contracts say so with the right hash.
RESEALED_BATCH = """
import hashlib, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from edge import Classifier, UserError
from edge.model.contract import append_files, read_model
from edge.model.trust import survive
original, out, count, runtime = read_model(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
ended = 0
for seed in range(count):
    dice, graph = np.random.default_rng(seed), bytearray(original.graph)
    for place in dice.integers(8, len(graph), 3):
        graph[place] = int(dice.integers(256))
    out.write_bytes(append_files(graph, replace(original.spec, graph_sha256=hashlib.sha256(graph).hexdigest())))
    try:
        if runtime == "tflite-runtime":
            survive(bytes(graph), runtime)
            continue
        with Classifier(out, threads=1, runtime=runtime) as classifier:
            classifier.classify(np.zeros((48, 64, 3), np.uint8))
    except UserError as error:
        assert len(str(error).splitlines()) == 1, error
        ended += "ends its process" in str(error)
print(ended)
"""

PICTURE_BATCH = (
    MUTATE
    + """
import cv2, numpy as np
from edge import UserError
from edge.pictures import read_picture
image = np.random.default_rng(0).integers(0, 255, (37, 53, 4), np.uint8)
formats = [(".jpg", 3), (".png", 4), (".png", 3), (".webp", 4), (".bmp", 3)]
originals = [cv2.imencode(suffix, np.ascontiguousarray(image[:, :, :depth]))[1].tobytes() for suffix, depth in formats]
refused = 0
for seed in range(count):
    out.write_bytes(mutate(originals[seed // 4 % len(originals)], seed))
    try:
        frame = read_picture(out)
        assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
    except UserError:
        refused += 1
print(refused)
"""
)


def batch(code: str, *arguments: object) -> int:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    job = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert job.returncode == 0, f"status {job.returncode}: {job.stderr[-2000:]}"
    return int(job.stdout)


def test_mutated_models_are_refused_and_crash_nothing(tiny_model: Path, tmp_path: Path) -> None:
    assert batch(MODEL_BATCH, tiny_model, tmp_path / "x.tflite", MODELS) > MODELS / 2


def test_mutated_pictures_crash_nothing(tiny_model: Path, tmp_path: Path) -> None:
    assert batch(PICTURE_BATCH, tiny_model, tmp_path / "x", PICTURES) > PICTURES / 2


def bare(model: Path, path: Path, files: dict[str, str] | None = None) -> Path:
    """The graph of a model without its contract, and with other files behind it."""
    path.write_bytes(read_model(model).graph)
    if files:
        with zipfile.ZipFile(path, "a") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    return path


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
def test_a_hostile_graph_ends_only_its_trial(runtime: str, tiny_model: Path, tmp_path: Path) -> None:
    """Changed graphs with the right hash: refused, or they run; the process that asked goes on.

    LiteRT verifies the flatbuffer itself; tflite-runtime dies of a third of these. It may also die of one that came
    through its trial: reading wild memory ends differently each time. So of it the trials alone are run.
    """
    if runtime == "tflite-runtime":
        pytest.importorskip("tflite_runtime")
    count = RESEALED if runtime == "ai-edge-litert" else 12  # a trial each, a process that starts anew
    ended = batch(RESEALED_BATCH, tiny_model, tmp_path / "x.tflite", count, runtime)
    assert runtime == "ai-edge-litert" or ended > count / 10


def test_a_graph_is_tried_once_and_remembered(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROSTLITE_CACHE", str(tmp_path / "cache"))
    tried: list[str] = []
    monkeypatch.setattr(trust, "_try", lambda graph, runtime: tried.append(runtime))
    for _ in range(2):
        trust.survive(b"a graph", "ai-edge-litert")
    assert len(tried) == 1
    trust.survive(b"another", "ai-edge-litert")
    trust.survive(b"a graph", "tflite-runtime")  # another runtime has other bugs
    assert len(tried) == 3
    (tmp_path / "file").touch()
    monkeypatch.setenv("FROSTLITE_CACHE", str(tmp_path / "file"))  # nothing can be written: tried at each start
    for _ in range(2):
        trust.survive(b"a graph", "ai-edge-litert")
    assert len(tried) == 5


def test_metadata_alone_gives_the_same_answers(tiny_model: Path, tmp_path: Path) -> None:
    path = bare(tiny_model, tmp_path / "meta.tflite", {"labels.txt": "blue\nred\n"})
    with Classifier(tiny_model) as ours, Classifier(path) as theirs:
        assert theirs.spec.labels == ours.spec.labels
        assert (theirs.spec.mean, theirs.spec.std) == (ours.spec.mean, ours.spec.std)
        for red, blue in ((220, 20), (20, 220), (120, 119)):
            assert np.array_equal(ours.scores(flat(red, blue)), theirs.scores(flat(red, blue)))


def test_the_reader_agrees_with_the_schema_of_tensorflow(tiny_model: Path) -> None:
    schema = pytest.importorskip("tensorflow.lite.python.schema_py_generated")
    data = read_model(tiny_model).graph
    ours = read_graph(data)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    subgraph = model.subgraphs[0]
    taken = subgraph.tensors[subgraph.inputs[0]]
    assert ours.inputs[0].shape == tuple(taken.shape)
    assert ours.scores == subgraph.tensors[subgraph.outputs[0]].shape[-1]
    assert ours.operation == "softmax"
    assert ours.label_files == ("labels.txt",)
    assert ours.std == (255, 255, 255)


def test_what_is_not_known_is_asked_for(tiny_model: Path, tmp_path: Path) -> None:
    path = bare(tiny_model, tmp_path / "bare.tflite")
    (tmp_path / "labels.txt").write_text("0 blue\n1 red\n")
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    import cv2

    cv2.imwrite(str(tmp_path / "red.png"), flat(220, 20))
    cases = [
        ([], "--labels"),  # nothing says its labels
        (["--labels", tmp_path / "three.txt"], "expected 2 labels"),  # not as many as outputs
        (["--labels", tmp_path / "none.txt"], "none.txt"),  # no such file
    ]
    for arguments, words in cases:
        job = run_module("edge", "classify", path, tmp_path / "red.png", *arguments)
        assert job.returncode == 2
        assert words in job.stderr
        assert "Traceback" not in job.stderr
    job = run_module("edge", "classify", path, tmp_path / "red.png", "--labels", tmp_path / "labels.txt")
    assert ": red " in job.stdout, job.stderr
    job = run_module("edge", "classify", tiny_model, tmp_path / "red.png", "--mean", 0)
    assert job.returncode == 2
    assert "--mean" in job.stderr
