"""Whether the outputs of a classifier are probabilities or logits, by its last operation and by what it says.

The last operation alone does not tell it: an average of softmaxes ends in a multiplication, and a softmax over the
wrong axis is a softmax. So the outputs for some different pictures are looked at too.
"""

import numpy as np

PROBABILITIES, LOGITS = "probabilities", "logits"
# Operations after which a number says nothing of how likely a label is. A ReLU: all labels that lose are 0 alike.
_NEITHER = {"tanh": "-1 to 1", "relu": "0 or more", "relu6": "0 to 6", "softplus": "0 or more", "softsign": "-1 to 1"}
_NEAR = 0.02  # how far a sum may be from 1: float16, and softmaxes written by hand


def judge(outputs: np.ndarray, operation: str = "", step: float = 0.0) -> str:
    """What the outputs of a model are: "probabilities" or "logits".

    Args:
        outputs: float32 (pictures, outputs) of some different pictures; of one output: of the second of two labels.
        operation: what gives them, in lower case ("softmax", "sigmoid", "log_softmax", "linear", "tanh" …); "" of what
            is not known or is not among these.
        step: the distance of two neighbouring values, if the output is quantized.

    Raises:
        ValueError: one sentence with the remedy, if they are neither.
    """
    units = outputs.shape[1]
    if operation in _NEITHER:
        raise ValueError(
            f"its last operation is {operation}, which gives {_NEITHER[operation]} and no probability: end the model "
            f"with {'one sigmoid' if units == 1 else 'a softmax'}, or without activation (logits), and train it so"
        )
    if not np.isfinite(outputs).all():
        raise ValueError("some of its outputs are no finite numbers: check the normalization and the weights")
    low, high = float(outputs.min()), float(outputs.max())
    if units == 1:
        if operation == "softmax" or (operation != "linear" and low == high == 1):
            raise ValueError(
                "a softmax over one output says 1 of every picture: end the model with one sigmoid, or with a softmax "
                "over two outputs, and train it so"
            )
        if operation in ("sigmoid", "linear", "log_softmax"):
            return PROBABILITIES if operation == "sigmoid" else LOGITS
        return PROBABILITIES if low >= -_NEAR and high <= 1 + _NEAR else LOGITS
    near = _NEAR + step * (units + 1) / 2  # each output is rounded
    sums = outputs.sum(axis=1)
    positive = low >= -max(step, 1e-4)
    if operation != "sigmoid" and positive and (np.abs(sums - 1) <= near).all():
        return PROBABILITIES
    rounding = step * (units + 1)
    if operation != "linear" and positive and sums.mean() > 1 and np.ptp(sums) <= _NEAR * sums.mean() + rounding:
        raise ValueError(
            f"its outputs sum to {sums.mean():.3g} for every picture, as probabilities times a factor do: "
            "end the model with the softmax itself"
        )
    if operation == "sigmoid" or (operation != "linear" and positive and high <= 1 + _NEAR):
        kind = f"{units} sigmoids" if operation == "sigmoid" else f"{units} outputs of 0 to 1 that do not sum to 1"
        raise ValueError(
            f"{kind}, each of which answers for itself (several labels may hold at once): expected a softmax over the "
            "labels, or one sigmoid for two labels"
        )
    return LOGITS
