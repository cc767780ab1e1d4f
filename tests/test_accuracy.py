"""Accuracy after quantization stays close: the whole way, on the drawn sample and on the real Horses-or-Humans."""

import json
from pathlib import Path

import pytest
from conftest import run_here

from train.sample import write_sample


def whole_way(data: Path, run: Path, *convert: object) -> tuple[dict, dict]:
    """Train and convert; the metrics and the report."""
    trained = run_here("train", "--data", data, "--out", run)
    assert trained.returncode == 0, trained.stderr
    converted = run_here("convert", run, *convert)
    assert converted.returncode == 0, converted.stderr
    return json.loads((run / "metrics.json").read_text()), json.loads((run / "export" / "report.json").read_text())


@pytest.mark.slow
def test_on_the_sample(tmp_path: Path) -> None:
    data = write_sample(tmp_path / "sample", train=80, validation=60)
    metrics, report = whole_way(data, tmp_path / "run", "--calibration", 60)
    assert metrics["validation_accuracy"] >= 0.97
    int8 = next(variant for variant in report["variants"] if variant["scheme"] == "int8")
    assert int8["drop_points"] <= 1.0
    assert int8["agreement"] >= 0.98
    assert set(int8["runtimes"].values()) == {"ok"}


@pytest.mark.slow
def test_on_horses_or_humans(horses_or_humans: Path, tmp_path: Path) -> None:
    metrics, report = whole_way(horses_or_humans, tmp_path / "run")
    assert metrics["images"] == {"train": 1027, "validation": 256, "test": 0}
    assert metrics["validation_accuracy"] >= 0.995
    int8 = next(variant for variant in report["variants"] if variant["scheme"] == "int8")
    assert int8["drop_points"] <= 0.5
    assert int8["verdict"] == "pass"
    assert int8["bytes"] <= 0.3 * report["reference"]["bytes"]
