"""int8 with exceptions: the layers that quantization hurts most stay in float, as few as reach the tolerance."""

from collections.abc import Iterator

import numpy as np

from convert.calibrate import choose_pictures
from convert.graph import Graph, run
from convert.job import Job
from convert.quantize import quantize
from convert.run import image_type, scores
from edge.errors import UserError
from edge.model.preprocess import prepare
from edge.pictures import read_picture

WATCHED = 8  # pictures that show where the error arises
CHECKED = 256  # training pictures that show whether it is small enough
MOST = 0.85  # of the layers that int8 touches: the few that are left save neither room nor time


def quantize_selectively(job: Job) -> tuple[bytes, list[str]]:
    """The quantized graph, and the names of the layers that stayed in float.

    The tensors are ordered by the noise that quantization adds to them. The layers around the worst of them stay in
    float: no tensor, one, two, four, … until the labels of training pictures of all labels change no more often than
    the tolerance says, then as few as still do. They are answered by heads that never saw them, where there are such
    (`Job.answer`): a head that knows a picture by heart keeps its label whatever happens. No picture that is held out
    has a say.

    Raises:
        UserError: if hardly anything would be left in int8.
    """
    known = {picture.digest for picture in job.calibration}
    others = [picture for picture in job.train if picture.digest not in known] or list(job.train)
    check = choose_pictures(others, CHECKED, seed=1)
    answer = job.answer or (lambda graph, pictures: scores(graph, pictures, job.spec))
    expected = answer(job.graph, check).argmax(axis=1)
    worst = [name for name, _ in noise(job)]
    around = neighbours(Graph(job.graph))

    def attempt(count: int) -> tuple[float, bytes, list[str]]:
        kept = list(dict.fromkeys(layer for name in worst[:count] for layer in around.get(name, [])))
        graph = quantize(job.graph, "int8", job.spec, job.seen, kept)
        return 100 * float((answer(graph, check).argmax(axis=1) != expected).mean()), graph, kept

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
    if len(kept) > MOST * len({layer for name in worst for layer in around.get(name, [])}):
        raise UserError(
            f"it takes nearly all layers in float to change at most {job.tolerance:g} % of the labels of {len(check)} "
            "training pictures: no better than float32"
        )
    return graph, kept


def noise(job: Job) -> list[tuple[str, float]]:
    """Tensor name to the noise that int8 adds, as a share of its signal, averaged over channels; worst first.

    By channel, because one loud channel can drown the others, which no average over the whole tensor shows.
    """
    graphs = Graph(job.graph), Graph(quantize(job.graph, "int8", job.spec, job.seen))
    places = [{graph.name(t): t for op in graph.operators for t in op.outputs} for graph in graphs]
    names = [
        name
        for name, tensor in places[0].items()
        if graphs[0].dtype(tensor) == np.float32 and len(graphs[1].quantization(places[1].get(name, 0))[0]) == 1
        and name in places[1]
    ]  # fmt: skip
    pictures = job.calibration[:WATCHED]

    def values(graph: Graph, place: dict[str, int]) -> Iterator[list[np.ndarray]]:
        data = graph.cut(graph.operators, graph.part.inputs, [place[name] for name in names])
        kind = image_type(graph)
        return run(data, ([prepare(read_picture(each.path), job.spec, kind)] for each in pictures))

    streams = [values(graph, place) for graph, place in zip(graphs, places, strict=True)]
    sums: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in names}
    for real, levels in zip(*streams, strict=True):
        for name, exact, rough in zip(names, real, levels, strict=True):
            sums[name].append(energies(exact, graphs[1].real(places[1][name], rough)))
    found = {}
    for name, rows in sums.items():
        error, signal = (np.sum(parts, axis=0) for parts in zip(*rows, strict=True))
        heard = signal > 0
        found[name] = float(np.sqrt(error[heard] / signal[heard]).mean()) if heard.any() else 0.0
    return sorted(found.items(), key=lambda item: -item[1])


def energies(real: np.ndarray, quantized: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The energy of the error and that of the signal, by channel, float64."""
    axes = tuple(range(real.ndim - 1))
    return np.square(real - quantized).sum(axis=axes, dtype=float), np.square(real).sum(axis=axes, dtype=float)


def neighbours(graph: Graph) -> dict[str, list[str]]:
    """Tensor name to the layers around it: the one that makes it and those that take it, named by their outputs."""
    around: dict[str, list[str]] = {}
    for operator in graph.operators:
        layer = graph.name(operator.outputs[0])
        for tensor in [*operator.outputs, *operator.inputs]:
            if tensor >= 0:
                around.setdefault(graph.name(tensor), []).append(layer)
    return around
