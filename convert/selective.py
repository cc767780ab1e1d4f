"""int8 with exceptions: the layers that quantization hurts most stay in float, as few as reach the tolerance."""

import csv
import io
import warnings
from collections.abc import Callable

import numpy as np
from tensorflow.lite.python import util
from tensorflow.lite.tools import flatbuffer_utils

from convert.calibrate import samples
from convert.job import Job
from convert.run import scores
from edge.quiet import quiet
from train.dataset import Picture
from train.keras import lite_converter, tf

# The debugger runs on TensorFlow's own interpreter, which warns at every start that it is deprecated.
warnings.filterwarnings("ignore", module="tensorflow.lite.python.interpreter")

DEBUGGED = 16  # pictures that show where the error arises
CHECKED = 256  # training pictures that show whether it is small enough


def quantize_selectively(job: Job, configure: Callable) -> tuple[bytes, list[str]]:
    """The quantized graph, and the names of the layers that stayed in float.

    The tensors are ordered by the noise that quantization adds to them. The layers around the worst of them stay in
    float: no tensor, one, two, four, … until the labels of training pictures change no more often than the tolerance
    says, then as few as still do. No validation picture has a say.
    """
    converter = lite_converter(job.model)
    configure(converter, job.samples)
    with quiet():
        reference = lite_converter(job.model).convert()
        debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_dataset=job.samples)
    worst = [name for name, _ in noise(debugger.quant_model, job)]
    around = neighbours(debugger.calibrated_model)
    known = {picture.digest for picture in job.calibration}
    check = [picture for picture in job.train if picture.digest not in known][:CHECKED] or list(job.calibration)
    expected = answers(reference, check, job)

    def attempt(count: int) -> tuple[float, bytes, list[str]]:
        kept = list(dict.fromkeys(layer for name in worst[:count] for layer in around.get(name, [])))
        with quiet():
            debugger.options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=kept)
            graph = with_uint8_ends(debugger.get_nondebug_quantized_model())
        return 100 * float((answers(graph, check, job) != expected).mean()), graph, kept

    few, count = -1, 0
    changed, graph, kept = attempt(count)
    while changed > job.tolerance and count < len(worst):
        few, count = count, min(max(1, 2 * count), len(worst))
        changed, graph, kept = attempt(count)
    while count - few > 1:
        middle = (few + count) // 2
        changed, fewer, names = attempt(middle)
        if changed > job.tolerance:
            few = middle
        else:
            count, graph, kept = middle, fewer, names
    return graph, kept


def noise(debug_graph: bytes, job: Job) -> list[tuple[str, float]]:
    """Tensor name to the noise that quantization adds, as a share of its signal, averaged over channels; worst first.

    By channel, because one loud channel can drown the others, which no average over the whole tensor shows.
    """
    sums: list[tuple[np.ndarray, np.ndarray]] = []  # picture by picture, of each tensor in the same order

    def listen(real: np.ndarray, levels: np.ndarray, scale: float, zero_point: int) -> float:
        sums.append(energies(real, (levels.astype(np.float32) - zero_point) * scale))
        return 0.0

    pictures = job.calibration[:DEBUGGED]
    with quiet():
        debugger = tf.lite.experimental.QuantizationDebugger(
            quant_debug_model_content=debug_graph,
            debug_dataset=lambda: samples(pictures, job.spec),
            debug_options=tf.lite.experimental.QuantizationDebugOptions(
                layer_direct_compare_metrics={"listen": listen}
            ),
        )
        debugger.run()
        table = io.StringIO()
        debugger.layer_statistics_dump(table)
    table.seek(0)
    names = [row["tensor_name"] for row in csv.DictReader(table)]
    found = {}
    for place, name in enumerate(names):
        error, signal = (np.sum(parts, axis=0) for parts in zip(*sums[place :: len(names)], strict=True))
        heard = signal > 0
        found[name] = float(np.sqrt(error[heard] / signal[heard]).mean()) if heard.any() else 0.0
    return sorted(found.items(), key=lambda item: -item[1])


def energies(real: np.ndarray, quantized: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The energy of the error and that of the signal, by channel, float64."""
    axes = tuple(range(real.ndim - 1))
    return np.square(real - quantized).sum(axis=axes, dtype=float), np.square(real).sum(axis=axes, dtype=float)


def neighbours(graph: bytes) -> dict[str, list[str]]:
    """Tensor name to the layers around it: the one that makes it and those that take it, named by their outputs."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(graph))
    subgraph = model.subgraphs[0]
    names = [tensor.name.decode() for tensor in subgraph.tensors]
    around: dict[str, list[str]] = {}
    for operator in subgraph.operators:
        layer = names[operator.outputs[0]]
        for tensor in [*operator.outputs, *operator.inputs]:
            if tensor >= 0:
                around.setdefault(names[tensor], []).append(layer)
    return around


def with_uint8_ends(graph: bytes) -> bytes:
    """Pixels in and scores out as uint8, where the first and the last layer are quantized."""
    try:
        return util.modify_model_io_type(graph, tf.uint8, tf.uint8)
    except ValueError:
        return graph


def answers(graph: bytes, pictures: list[Picture], job: Job) -> np.ndarray:
    """The label of each picture, integers (pictures,)."""
    return scores(graph, pictures, job.spec).argmax(axis=1)
