"""Runs side by side: what is told before the calibration is what the fit alone gave."""

import json
from pathlib import Path

from conftest import run_here


def test_the_accuracy_before_a_shift_is_told_beside_that_after_it(tmp_path: Path) -> None:
    common = {"train_accuracy": 1.0, "validation_accuracy": 0.953, "epochs": 3, "seconds": {"total": 12.4}}
    shifted = {"shift": [0.1, -0.1], "validation_accuracy_before": 0.875}
    for name, more in (
        ("plain", {"augment": None, "calibration": {"shift": [0.0, 0.0]}}),
        ("views", {"augment": {"views": 4}, "calibration": shifted}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(common | more))
    done = run_here("train.sidebyside", tmp_path / "plain", tmp_path / "views")
    _, plain, views = (line.split()[1:] for line in done.stdout.splitlines())
    assert plain == ["0", "3", "100.00%", "95.30%", "95.30%", "12"]
    assert views == ["4", "3", "100.00%", "87.50%", "95.30%", "12"]


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    done = run_here("train.sidebyside", tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path}: expected a finished run with metrics.json" in done.stderr
