"""Whether there is anything to prove: a model that guesses has no accuracy to lose, and every variant would pass."""

import numpy as np

from convert.proof import Sample
from convert.usual import remedy
from train.measure import Answer
from train.rundir import Run

CHECK = "check mean and std (of pixels from 0 to 255), the order of the labels, RGB against BGR, and the photos"


def complaint(sample: Sample, run: Run, answer: Answer, own: bool) -> str | None:
    """What is wrong with a model that is no better than always saying the commonest label; None if it is better.

    Args:
        answer: what the model gives, to the output of its contract.
        own: the model was trained elsewhere: then a contract that another usual one beats by far is wrong too.
    """
    truth = sample.truth
    counts = np.bincount(truth, minlength=len(run.spec.labels))
    share, floor = float((sample.reference.argmax(axis=1) == truth).mean()), counts.max() / counts.sum()
    if share > floor and not own:
        return None

    told = remedy(answer, [*run.validation, *run.test, *run.train], run.spec)
    found = f"it is right on {share:.2%} of {len(truth)} pictures"
    if share <= floor:
        commonest = f"{found}, where always saying {run.spec.labels[counts.argmax()]} is right on {floor:.2%}"
        return f"expected a model that knows its labels: {commonest}; {told or CHECK}"
    return f"expected a contract that fits the model: {found}; {told}" if told else None
