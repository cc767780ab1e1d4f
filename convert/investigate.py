"""What the report explains beside the verdicts: where the error arises, where the bytes are, what calibration does."""

from dataclasses import replace
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from convert.export import Job
from convert.run import scores
from convert.schemes import SCHEMES
from convert.selective import DEBUGGED, noise
from convert.stats import compare
from edge.quiet import quiet
from train.keras import lite_converter, tf
from train.rundir import Run

SWEEP = 1, 10  # calibration pictures, besides as many as were asked for


def calibration_sweep(job: Job, run: Run, reference: np.ndarray) -> list[dict[str, Any]]:
    """What int8 loses on the validation pictures if it is calibrated with fewer pictures, a row a count."""
    truth = np.array([picture.label for picture in run.validation])
    rows = []
    for count in SWEEP:
        if count < len(job.calibration):
            converter = lite_converter(job.model)
            fewer = replace(job, calibration=job.calibration[:count])
            SCHEMES["int8"].configure(converter, fewer.samples)
            with quiet():
                graph = converter.convert()
            figures = compare(reference, scores(graph, run.validation, run.spec), truth, run.spec.labels)
            kept = "accuracy", "drop_points", "drop_interval_points", "agreement", "score_change"
            rows.append({"pictures": count, **{name: figures[name] for name in kept}})
    return rows


def noise_by_layer(job: Job) -> list[dict[str, Any]]:
    """The noise that int8 adds to each tensor, as a share of its signal, averaged over its channels; worst first."""
    few = replace(job, calibration=job.calibration[:DEBUGGED])
    converter = lite_converter(job.model)
    SCHEMES["selective-int8"].configure(converter, few.samples)
    with quiet():
        debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_dataset=few.samples)
        graph = debugger.get_debug_quantized_model()
    return [{"layer": short(name), "noise": round(value, 5)} for name, value in noise(graph, few)]


def layer_bytes(graph: bytes) -> list[dict[str, Any]]:
    """The bytes of the constants of each operator, largest first."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(graph))
    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    rows = []
    for operator in model.subgraphs[0].operators:
        tensors = [model.subgraphs[0].tensors[index] for index in operator.inputs if index >= 0]
        data = [model.buffers[tensor.buffer].data for tensor in tensors]
        size = sum(len(item) for item in data if item is not None)
        if size:
            code = model.operatorCodes[operator.opcodeIndex]
            output = model.subgraphs[0].tensors[operator.outputs[0]]
            kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
            rows.append({"layer": short(output.name.decode()), "operator": kind, "bytes": size})
    return sorted(rows, key=lambda row: -row["bytes"])


def short(name: str) -> str:
    """The layer in a tensor's name: "frostlite/block1a_bn/FusedBatchNormV3;…" is "block1a_bn"."""
    parts = name.split(";")[0].split("/")
    return parts[1] if len(parts) > 1 else parts[0]
