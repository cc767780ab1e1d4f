"""What is converted: a classifier in float, whatever file it came in."""

from dataclasses import dataclass

import numpy as np

from convert.export import widen
from edge.model.judge import LOGITS, judge
from edge.model.preprocess import prepare
from edge.pictures import read_picture
from edge.quiet import quiet
from train.keras import keras
from train.measure import Answer, answer_of
from train.rundir import Run

_LOOKED_AT = 32  # pictures whose outputs are looked at


@dataclass(frozen=True)
class Given:
    """A classifier in float that gives probabilities.

    Attributes:
        answer: what it gives; of two labels it may give one sigmoid, that of the second.
        parameters: how many numbers it has learned.
        model: it, in Keras; None where there is a graph alone.
        wide: the same with one output a label.
        graph: where there is no model, the float graph, with one output a label; else empty.
    """

    answer: Answer
    parameters: int
    model: keras.Model | None = None
    wide: keras.Model | None = None
    graph: bytes = b""


def in_keras(model: keras.Model) -> Given:
    return Given(answer_of(model), model.count_params(), model, widen(model))


def hold_to_contract(answer: Answer, operation: str, run: Run) -> None:
    """Look at the outputs for some held-out pictures: whether they are what the contract says.

    Args:
        operation: what gives them, as for `edge.model.judge`.

    Raises:
        ValueError: if they are not.
    """
    step = max(1, len(run.validation) // _LOOKED_AT)
    tensors = [prepare(read_picture(picture.path), run.spec) for picture in run.validation[::step][:_LOOKED_AT]]
    with quiet():
        outputs = np.concatenate([answer(tensor) for tensor in tensors])
    found = judge(outputs, operation)
    sure = outputs.shape[1] > 1 or operation in ("sigmoid", "linear") or outputs.min() < 0 or outputs.max() > 1
    if found != run.spec.output and sure:
        remedy = (
            f'put "output": "{found}" into the contract' if found == LOGITS else 'take "output" out of the contract'
        )
        raise ValueError(f'its outputs are {found}, and by its contract "{run.spec.output}": {remedy}')
