"""What the report explains beside the verdicts: where the error arises, where the bytes are, what calibration does."""

from dataclasses import replace
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from convert.job import Job
from convert.proof import Sample
from convert.quantize import quantize
from convert.run import scores
from convert.selective import WATCHED, noise
from convert.stats import compare

STORED = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
}
SWEEP = 1, 10  # calibration pictures, besides as many as were asked for
KEPT = "accuracy", "drop_points", "drop_interval_points", "agreement", "score_change"


def explain(job: Job, sample: Sample) -> dict[str, Any]:
    """The noise by layer and the sweep over the number of calibration pictures, for the report."""
    return {
        "noise": [{"layer": short(name), "noise": round(value, 5)} for name, value in noise(job)],
        "noise_pictures": WATCHED,
        "calibration_sweep": calibration_sweep(job, sample),
    }


def calibration_sweep(job: Job, sample: Sample) -> list[dict[str, Any]]:
    """What int8 loses on held-out pictures if it is calibrated with fewer pictures, a row a count."""
    rows = []
    for count in sorted({*(few for few in SWEEP if few < len(job.calibration)), len(job.calibration)}):
        fewer = replace(job, calibration=job.calibration[:count])
        graph = quantize(job.graph, "int8", job.spec, fewer.seen)
        found = compare(sample.reference, scores(graph, sample.pictures, job.spec), sample.truth, sample.labels)
        rows.append({"pictures": count, **{name: found[name] for name in KEPT}})
    return rows


def constants(graph: bytes) -> list[tuple[str, str, list[np.ndarray]]]:
    """Of each operator: the layer, the operator's kind, and the constants that it takes, as they are stored."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(graph))
    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    subgraph = model.subgraphs[0]
    rows = []
    for operator in subgraph.operators:
        tensors = [subgraph.tensors[index] for index in operator.inputs if index >= 0]
        stored = [(model.buffers[tensor.buffer].data, STORED.get(tensor.type, np.uint8)) for tensor in tensors]
        code = model.operatorCodes[operator.opcodeIndex]
        layer = short(subgraph.tensors[operator.outputs[0]].name.decode())
        found = [np.asarray(data, np.uint8).view(dtype) for data, dtype in stored if data is not None and len(data)]
        rows.append((layer, kinds[max(code.builtinCode, code.deprecatedBuiltinCode)], found))
    return rows


def layer_bytes(graph: bytes) -> list[dict[str, Any]]:
    """The bytes of the constants of each operator, largest first."""
    rows = [
        {"layer": layer, "operator": kind, "bytes": sum(values.nbytes for values in found)}
        for layer, kind, found in constants(graph)
    ]
    return sorted((row for row in rows if row["bytes"]), key=lambda row: -row["bytes"])


def weights(graph: bytes) -> dict[str, Any]:
    """How many constants the graph has, and the share of them that is zero: pruning shows there."""
    values = [found for _, _, all_found in constants(graph) for found in all_found]
    count = sum(found.size for found in values)
    return {"parameters": count, "zeros": round(sum(int((found == 0).sum()) for found in values) / max(1, count), 4)}


def short(name: str) -> str:
    """The layer in a tensor's name: "frostlite/block1a_bn/FusedBatchNormV3;…" is "block1a_bn".

    The last tensor has a name of the converter's own.
    """
    parts = name.split(";")[0].split("/")
    if parts[0].startswith(("PartitionedCall", "StatefulPartitionedCall", "Identity")) and len(parts) == 1:
        return "output"
    return parts[1] if len(parts) > 1 else parts[0]
