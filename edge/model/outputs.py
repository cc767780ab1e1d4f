"""More outputs for a graph, in memory: a file keeps its one output, and a device reads features out of the same graph.

A flatbuffer holds a list as an offset to it. So a longer list of outputs is written behind the graph, and one offset is
changed; all else stays where it is.
"""

import struct
from collections.abc import Sequence

from edge.model.flatbuffer import Table

# Places of fields in the schema of TFLite: Model.subgraphs; SubGraph.tensors, .outputs; Tensor.name.
_SUBGRAPHS = 2
_TENSORS, _OUTPUTS = 0, 2
_NAME = 3


def add_outputs(graph: bytes, names: Sequence[str]) -> bytes:
    """The graph with the tensors called `names` among its outputs, behind those it has.

    Raises:
        ValueError: if it has no such tensor, or is no graph that can be followed.
    """
    subgraph = Table.root(graph).tables(_SUBGRAPHS)[0]
    known = {tensor.string(_NAME): index for index, tensor in enumerate(subgraph.tables(_TENSORS))}
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"expected tensors {', '.join(missing)}, found none of that name")
    outputs = [*subgraph.numbers(_OUTPUTS, "i"), *(known[name] for name in names)]
    place = subgraph.place(_OUTPUTS)
    assert place is not None  # it has outputs: they were read
    changed = bytearray(graph + bytes(-len(graph) % 4))
    struct.pack_into("<I", changed, place, len(changed) - place)
    return bytes(changed + struct.pack(f"<I{len(outputs)}i", len(outputs), *outputs))
