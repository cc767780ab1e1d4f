"""Which labels look wrong: confident learning (Northcutt, Jiang & Chuang, "Confident learning: estimating uncertainty
in dataset labels", 2021), on answers of heads that were not fitted on the picture.
"""

import numpy as np


def suspects(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures whose label looks wrong, worst first, int (suspects,), and the label that each seems to be.

    A picture counts as one of a label if its score for it is at least the mean score that the pictures of that label
    have for it: who is unsure of a label throughout needs less of it. Where it counts as one of several, the highest
    score decides. A suspect counts as one of another label than its own. The worst has the least margin: its score for
    its own label less that for the best other one.

    Args:
        scores: float (pictures, labels), out of fold.
        labels: int (pictures,), as given.
    """
    places = np.arange(len(labels))
    sure = np.full(scores.shape[1], np.inf)
    for label in np.unique(labels):
        sure[label] = scores[labels == label, label].mean()
    counted = np.where(scores >= sure, scores, -1.0)
    seems = counted.argmax(axis=1)
    wrong = np.flatnonzero((counted.max(axis=1) >= 0) & (seems != labels))
    margin = scores[places, labels] - np.where(np.eye(scores.shape[1], dtype=bool)[labels], -1.0, scores).max(axis=1)
    order = wrong[np.argsort(margin[wrong], kind="stable")]
    return order, seems[order]
