"""Puts finished runs side by side: how often each is right, before its calibration and after it.

python -m train.sidebyside runs/exercise runs/exercise-views
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.cli import run_command
from edge.errors import UserError
from train.rundir import METRICS


def table(runs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Lines of a table, one a run, from their `metrics.json`."""
    wide = max(map(len, runs))
    yield f"{'run':<{wide}}  views  epochs  training  validation  calibrated  seconds"
    for name, metrics in runs.items():
        views = (metrics["augment"] or {"views": 0})["views"]
        after = metrics["validation_accuracy"]
        before = metrics["calibration"].get("validation_accuracy_before", after)
        shares = f"{metrics['train_accuracy']:8.2%}  {before:10.2%}  {after:10.2%}"
        yield f"{name:<{wide}}  {views:5}  {metrics['epochs']:6}  {shares}  {metrics['seconds']['total']:7.0f}"


def main() -> None:
    if len(sys.argv) < 2:
        raise UserError("expected run directories, as runs/exercise, found none")
    runs = {}
    for name in sys.argv[1:]:
        try:
            runs[name] = json.loads((Path(name) / METRICS).read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{name}: expected a finished run with {METRICS}, found none") from error
    print("\n".join(table(runs)))


if __name__ == "__main__":
    run_command(main)
