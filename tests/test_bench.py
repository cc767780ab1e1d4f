"""`edge bench`, and what it reads of the machine."""

import json
from pathlib import Path

import pytest
from conftest import run_module

from edge.board import describe, parse_throttling, temperature


def test_bench_tells_everything_of_several_models(tiny_model: Path) -> None:
    job = run_module("edge", "bench", tiny_model, tiny_model, "--frames", 10, "--threads", 1, 2, "--json")
    assert job.returncode == 0, job.stderr
    found = json.loads(job.stdout)
    assert found["machine"]["cores"] >= 1
    for report in found["models"]:
        assert list(report["invoke_ms_by_threads"]) == ["1", "2"]
        stages = report["stages_ms"]
        for row in stages.values():
            assert 0 <= row["p50"] <= row["p95"] <= row["p99"]
        assert stages["frame to label"]["p50"] >= stages["invoke"]["p50"]
        assert 0 < report["cold_start_s"] < 60
        assert 20 < report["peak_memory_mb"] < 400


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("throttled=0x0\n", []),
        ("throttled=0x50005", ["under-voltage", "throttled"]),  # now, and so of course since boot
        ("throttled=0x80000", ["soft temperature limit since boot"]),
    ],
)
def test_throttling_of_a_raspberry_pi(answer: str, names: list[str]) -> None:
    assert parse_throttling(answer) == names


def test_the_machine_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_text("Raspberry Pi 4 Model B Rev 1.4\0")
    (tmp_path / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("48312\n")
    assert describe(tmp_path)["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert temperature(tmp_path) == pytest.approx(48.312)
    assert temperature(tmp_path / "nowhere") is None
