"""Several machines that train one model, by TensorFlow's own distribution: the same command on each, with TF_CONFIG.

    TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}' \\
        python -m train --data /shared/photos --out /shared/runs/photos

Each worker computes the features of its share of the pictures and takes its share of each batch; the gradients are
averaged over all. Data, run directory and FROSTLITE_CACHE lie on a disk that all of them see. The first one tells
and writes.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from edge.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Workers:
    """This worker among all: `index` of `count`."""

    index: int
    count: int

    @property
    def first(self) -> bool:
        """Whether this is the one that tells and writes."""
        return self.index == 0

    def mine(self, digest: str) -> bool:
        """Whether the picture with this digest (hexadecimal) is of this worker's share: the same on every worker."""
        return int(digest[:8], 16) % self.count == self.index

    def wait(self) -> None:
        """Return when all workers have come here."""
        if together := strategy():
            import tensorflow as tf

            together.reduce("SUM", together.run(lambda: tf.ones(())), axis=None)


@cache
def workers() -> Workers:
    """Those that TF_CONFIG names; one alone without it.

    Raises:
        UserError: if TF_CONFIG is not what TensorFlow takes, or its task is none of its cluster.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return Workers(0, 1)
    try:
        config: dict[str, Any] = json.loads(text)
        tasks = [(kind, i) for kind in ("chief", "worker") for i in range(len(config["cluster"].get(kind, ())))]
        index = tasks.index((config["task"]["type"], int(config["task"]["index"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            'TF_CONFIG: expected {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": N}}, '
            f"found {text}"
        ) from error
    return Workers(index, len(tasks))


@cache
def strategy() -> "tf.distribute.Strategy | None":
    """What connects several workers; None for one alone. The first call comes before all else that TensorFlow does."""
    if workers().count == 1:
        return None
    from train.keras import tf

    return tf.distribute.MultiWorkerMirroredStrategy()
