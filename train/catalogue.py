"""What there is to choose from: the backbones with their cost, and the layers of one with good places to cut."""

from collections.abc import Iterator

import numpy as np

from edge.errors import UserError
from train.backbones import BACKBONES, build_backbone
from train.keras import keras, layers
from train.progress import progress

_MERGES = (layers.Add, layers.Concatenate)
_ACTIVATIONS = (layers.Activation, layers.ReLU)
_POOLS = (layers.MaxPooling2D, layers.AveragePooling2D)


def list_backbones(size: int | None, width: float | None) -> Iterator[str]:
    """Lines of a table: what each backbone costs at a size (its own by default), and what to know of it."""
    yield f"{'backbone':<20} {'size':>5} {'parameters':>11} {'multiply-adds':>14}  weights   notes"
    with progress("building", len(BACKBONES), " backbones") as bar:
        for name, entry in BACKBONES.items():
            bar.update()
            try:
                model, _ = build_backbone(name, "none", size, width=width if width in entry.widths else None)
            except UserError:  # the others can be had
                yield f"{name:<20} {size:>5} {'needs more pixels':>26}"
                continue
            notes = [f"widths {', '.join(f'{w:g}' for w in entry.widths)}"] if len(entry.widths) > 1 else []
            notes += [entry.int8] if entry.int8 else []
            yield (
                f"{name:<20} {model.input_shape[1]:>5} {model.count_params() / 1e6:>9.2f} M "
                f"{multiply_adds(model) / 1e6:>12.0f} M  {'installed' if entry.offline else 'download ':<9} "
                f"{'; '.join(notes)}"
            ).rstrip()


def list_layers(name: str, size: int | None, width: float | None) -> Iterator[str]:
    """Lines of a table: the layers of a backbone, as `summary()` has them, with * at good places to cut."""
    model, _ = build_backbone(name, "none", size, width=width)
    cuts = cut_points(model)
    wide = max(len(layer.name) for layer in model.layers)
    yield f"  {'number':>6}  {'layer':<{wide}}  {'kind':<22} {'output':<18} parameters"
    for number, layer in enumerate(model.layers):
        shape = " x ".join(str(side) for side in layer.output.shape[1:])
        mark = "*" if layer.name in cuts else " "
        kind = type(layer).__name__
        yield f"{mark} {number:>6}  {layer.name:<{wide}}  {kind:<22} {shape:<18} {layer.count_params():>10,}"
    trained = "" if name not in BACKBONES else f", normalization: mean {BACKBONES[name].mean[0]:g}"
    yield f"{model.count_params():,} parameters, {multiply_adds(model):,} multiply-adds{trained}"
    yield "* a good place for --cut: all that is computed before goes through this one layer, and a block ends there"


def multiply_adds(model: keras.Model) -> int:
    """Multiplications with a weight that one picture takes: of convolutions and dense layers, as papers count them."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.SeparableConv2D):
            depthwise, pointwise = (int(np.prod(weight.shape)) for weight in layer.weights[:2])
            total += (depthwise + pointwise) * int(np.prod(layer.output.shape[1:3]))
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            total += int(np.prod(layer.weights[0].shape)) * int(np.prod(layer.output.shape[1:3]))
        elif isinstance(layer, layers.Dense):
            total += int(np.prod(layer.weights[0].shape))
    return total


def cut_points(model: keras.Model) -> set[str]:
    """The layers that everything passes through and where a block ends: a merge (with the activation behind it), or,
    in a graph that never branches, an activation or a pooling; and the last layer."""
    consumers: dict[str, list[keras.layers.Layer]] = {layer.name: [] for layer in model.layers}
    for layer in model.layers:
        parents = {parent.name for node in layer.inbound_nodes for parent in np.atleast_1d(node.inbound_layers)}
        for name in parents & set(consumers):  # once each: layers that were wired anew have two nodes of one kind
            consumers[name].append(layer)
    waiting: dict[str, int] = {}  # layers whose output is still needed, and how often
    narrow = []
    for layer in model.layers:
        for parent in [name for name in waiting if layer in consumers[name]]:
            waiting[parent] -= 1
            if not waiting[parent]:
                del waiting[parent]
        waiting[layer.name] = len(consumers[layer.name])
        if len(waiting) == 1:
            narrow.append(layer)
    ends = set()
    for layer in narrow:
        if isinstance(layer, _MERGES):
            after = consumers[layer.name]
            ends.add(after[0].name if len(after) == 1 and isinstance(after[0], _ACTIVATIONS) else layer.name)
    if not ends:
        ends = {layer.name for layer in narrow if isinstance(layer, _ACTIVATIONS + _POOLS)}
    return ends | {model.layers[-1].name}
