"""Features out of a file that has one output, checked against arithmetic by hand and against both runtimes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.model.contract import read_model
from edge.model.flatbuffer import Table
from edge.model.outputs import add_outputs

RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


def names(graph: bytes) -> list[str]:
    return [tensor.string(3) for tensor in Table.root(graph).tables(2)[0].tables(0)]


SCRIPT = """
import importlib, sys, numpy as np
graph, tensor, out, runtime = sys.argv[1:]
interpreter = importlib.import_module(runtime).Interpreter(model_path=graph, num_threads=1)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(tensor))
interpreter.invoke()
np.savez(out, *(interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()))
"""


def run(graph: bytes, tensor: np.ndarray, runtime: str, folder: Path) -> list[np.ndarray]:
    """All outputs, by a process of its own: two runtimes in one disturb each other."""
    pytest.importorskip(runtime.partition(".")[0])
    files = [folder / name for name in ("graph.tflite", "tensor.npy", "out.npz")]
    files[0].write_bytes(graph)
    np.save(files[1], tensor)
    subprocess.run([sys.executable, "-c", SCRIPT, *map(str, files), runtime], check=True, capture_output=True)
    with np.load(files[2]) as found:
        return [found[name] for name in found.files]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_further_output_is_the_mean_by_hand_and_the_first_stays(
    tiny_model: Path, tmp_path: Path, runtime: str
) -> None:
    graph = read_model(tiny_model).graph
    (mean,) = (name for name in names(graph) if name.endswith("/Mean"))
    tensor = np.random.default_rng(1).random((1, 32, 32, 3), np.float32)
    (before,) = run(graph, tensor, runtime, tmp_path)
    after, features = run(add_outputs(graph, [mean]), tensor, runtime, tmp_path)
    assert np.array_equal(before, after)
    assert np.allclose(features.ravel(), tensor.mean(axis=(0, 1, 2)), atol=1e-6)


def test_the_file_stays_what_it_was(tiny_model: Path) -> None:
    """The bytes before the new list are those of the graph, but for the four that lead to it."""
    graph = read_model(tiny_model).graph
    changed = add_outputs(graph, names(graph)[-1:])
    assert sum(a != b for a, b in zip(graph, changed, strict=False)) <= 4
    assert len(changed) - len(graph) <= 16


def test_a_tensor_that_is_not_there_is_named(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="nothing_of_that_name"):
        add_outputs(read_model(tiny_model).graph, ["nothing_of_that_name"])


def test_what_is_no_graph_is_told(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match=r"outside|fit"):
        add_outputs(read_model(tiny_model).graph[:200], ["x"])
