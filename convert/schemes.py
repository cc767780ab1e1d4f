"""The table of quantization schemes: what each does to the model first, and how the graph is quantized."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scheme:
    """One entry of the table.

    Attributes:
        summary: one line for people.
        recipe: a key of `convert.quantize.RECIPES`, or nothing for a float graph.
        training: steps of `convert.tune` that the model goes through before, in this order.
        selective: whether the layers that quantization hurts most stay in float.
    """

    summary: str
    recipe: str = ""
    training: tuple[str, ...] = ()
    selective: bool = False


SCHEMES = {
    "float32": Scheme("as trained: the reference in size and speed"),
    "float16": Scheme("16-bit float weights, float arithmetic", "float16"),
    "dynamic": Scheme("8-bit weights, activations quantized as they come; float in and out", "dynamic"),
    "weight-int8": Scheme(
        "8-bit weights that are made float when the model loads: small, as fast as float", "weight-int8"
    ),
    "int8": Scheme("8-bit weights (per channel) and activations, uint8 pixels in, float scores out", "int8"),
    "int16x8": Scheme("8-bit weights, 16-bit activations: for models that int8 hurts; slow on most CPUs", "int16x8"),
    "selective-int8": Scheme("int8, but the layers that it hurts most stay in float", selective=True),
    "qat-int8": Scheme(
        "int8 after quantization-aware training: takes minutes, seldom better than int8", "int8", ("quantize",)
    ),
    "pruned-int8": Scheme("int8 after magnitude pruning: half of the weights are zero", "int8", ("prune",)),
    "clustered-int8": Scheme("int8 after weight clustering: few different weights a layer", "int8", ("cluster",)),
    "pruned-qat-int8": Scheme(
        "pruning, then quantization-aware training that keeps the zeros",
        "int8",
        ("prune", "quantize"),
    ),
    "clustered-qat-int8": Scheme(
        "clustering, then quantization-aware training that keeps the clusters",
        "int8",
        ("cluster", "quantize"),
    ),
}
BASELINE = "float32"
