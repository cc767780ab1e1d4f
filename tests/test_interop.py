"""Programs that we did not write read the files and give the same labels."""

import os
from pathlib import Path

import pytest

from tests.bench.interop import in_opencv, in_runtime, table
from train.rundir import read_run


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_every_tflite_runtime_gives_the_same_labels(scheme: str, colour_run: Path) -> None:
    run = read_run(colour_run)
    model = colour_run / "export" / f"{scheme}.tflite"
    expected = [run.spec.labels[picture.label] for picture in run.validation]
    for runtime in ("ai-edge-litert", "tflite-runtime", "tensorflow"):
        assert in_runtime(runtime, model, run) == expected, runtime


def test_opencv_reads_the_float_model(colour_run: Path) -> None:
    run = read_run(colour_run)
    expected = [run.spec.labels[picture.label] for picture in run.validation]
    assert in_opencv(colour_run / "export" / "float32.tflite", run, [p.path for p in run.validation]) == expected


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("FROSTLITE_SLOW") != "1", reason="installs MediaPipe; FROSTLITE_SLOW=1 runs it")
def test_mediapipe_gives_the_same_labels(colour_run: Path) -> None:
    heading, *rows = table(read_run(colour_run))
    place = heading.index("MediaPipe Tasks")
    assert [row[place] for row in rows] == ["100 %"] * len(rows)
