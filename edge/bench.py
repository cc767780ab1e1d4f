"""What a model costs on this machine: time per stage and percentile, threads, cold start, memory.

    python -m edge bench best.tflite
    python -m edge bench int8.tflite float32.tflite --source clip.mp4 --json > bench.json

Stages: capture (waiting for the source), preprocess, invoke, postprocess, draw and encode (what the page costs).
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.board import describe, temperature, throttling
from edge.errors import UserError
from edge.model.classifier import Classifier
from edge.model.contract import ModelFile
from edge.sinks.overlay import annotate
from edge.sources.base import Mode, shown
from edge.sources.pattern import draw
from edge.sources.table import open_source
from edge.web.preview import encode

_WARM_UP = 5  # frames before the clock runs
_COLD_STARTS = 3
# When its first label came, by the clock that processes share, and the most memory that it held (Linux).
_COLD = """
import sys, time
from edge import Classifier
from edge.pictures import read_picture
with Classifier(sys.argv[1], runtime=sys.argv[3] or None) as classifier:
    classifier.classify(read_picture(sys.argv[2]))
    print(time.monotonic())
    peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print(*peak)
"""


def bench(options: Namespace, files: list[ModelFile]) -> int:
    reports = []
    for file in files:
        reports.append(measure(file, options))
        if not options.json:
            print_table(reports[-1])
    machine = {**describe(), "python": platform.python_version(), "opencv": cv2.__version__, "numpy": np.__version__}
    heat = {"temperature_c": temperature(), "throttling": throttling()}
    if options.json:
        print(json.dumps({"machine": machine, **heat, "models": reports}, indent=2, ensure_ascii=False))
        return 0
    if len(reports) > 1:
        print_comparison(reports)
    print("; ".join(f"{name} {value}" for name, value in machine.items() if value))
    print(f"temperature: {heat['temperature_c'] or 'unknown'}, throttling: {heat['throttling'] or 'unknown'}")
    return 0


def measure(file: ModelFile, options: Namespace) -> dict[str, Any]:
    """Everything about one model."""
    counts = options.threads or list(range(1, (os.cpu_count() or 1) + 1))
    threads = {}
    for count in counts:
        with Classifier(file, threads=count, runtime=options.runtime) as classifier:
            runtime, version = classifier.interpreter.runtime, _version(classifier.interpreter.runtime)
            threads[str(count)] = _percentiles(_invocations(classifier, options.frames))
    best = min(counts, key=lambda count: threads[str(count)]["p50"])
    with Classifier(file, threads=best, runtime=options.runtime) as classifier:
        stages = _stages(classifier, options.source, options.frames)
        image = draw(640, 480, 0.0)
    seconds, peak = _cold(file, image, options.runtime)
    return {
        "model": str(file.path),
        "bytes": file.path.stat().st_size,
        "scheme": file.spec.scheme if file.spec else "",
        "runtime": runtime,
        "runtime_version": version,
        "source": shown(options.source or "640x480 pattern"),
        "frames": options.frames,
        "invoke_ms_by_threads": threads,
        "threads": best,
        "stages_ms": stages,
        "cold_start_s": seconds,
        "peak_memory_mb": peak,
    }


def _invocations(classifier: Classifier, count: int) -> list[float]:
    tensor = np.zeros(classifier.interpreter.input_shape, classifier.interpreter.input.dtype)
    spent = []
    for number in range(_WARM_UP + count):
        start = time.perf_counter()
        classifier.interpreter.invoke(tensor)
        if number >= _WARM_UP:
            spent.append(time.perf_counter() - start)
    return spent


def _stages(classifier: Classifier, source: str | None, count: int) -> dict[str, dict[str, float]]:
    spent: dict[str, list[float]] = {}
    before = time.perf_counter()
    for number, image in enumerate(_images(source, _WARM_UP + count)):
        captured = time.perf_counter()
        result = classifier.classify(image)
        classified = time.perf_counter()
        annotate(image, result)
        drawn = time.perf_counter()
        encode(image)
        encoded = time.perf_counter()
        if number >= _WARM_UP:
            ms = {name: value / 1e3 for name, value in result.ms.items()}
            for name, value in (
                ("capture", captured - before),
                ("preprocess", ms["preprocess"]),
                ("invoke", ms["invoke"]),
                ("postprocess", ms["total"] - ms["preprocess"] - ms["invoke"]),
                ("frame to label", classified - captured),
                ("draw", drawn - classified),
                ("encode", encoded - drawn),
            ):
                spent.setdefault(name, []).append(value)
        before = time.perf_counter()
    if not spent:
        raise UserError(f"--source: {shown(source or '')}: expected more than {_WARM_UP} frames")
    return {name: _percentiles(values) for name, values in spent.items()}


def _images(source: str | None, count: int) -> Iterator[np.ndarray]:
    """So many frames of a source, which starts anew if it ends; of the test pattern if none is given."""
    if source is None:
        yield from (draw(640, 480, number / 30) for number in range(count))
        return
    left = count
    while left:
        opened = open_source(source, Mode())
        before = left
        try:
            for frame in islice((frame for frame in opened if frame is not None), left):
                left -= 1
                yield frame.image
        finally:
            opened.close()
        if left == before:
            raise UserError(f"--source: {shown(source)}: expected frames, found none")


def _cold(file: ModelFile, image: np.ndarray, runtime: str | None) -> tuple[float | None, float | None]:
    """The median of the seconds from starting a process to its first label, and megabytes resident at most."""
    if file.spec and not file.spec.graph_sha256:
        return None, None  # what a model without a contract needs came from flags, which the other process has not
    root = str(Path(__file__).resolve().parent.parent)
    seconds, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "frame.png"
        cv2.imwrite(str(picture), image)
        for _ in range(_COLD_STARTS):
            start = time.monotonic()
            command = [sys.executable, "-c", _COLD, str(file.path), str(picture), runtime or ""]
            environment = {**os.environ, "PYTHONPATH": root}
            child = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            end, peak = child.stdout.splitlines()
            seconds.append(float(end) - start)
            peaks.append(float(peak or "nan") / 1024)
    return round(float(np.median(seconds)), 3), round(max(peaks), 1)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    return {f"p{share}": round(float(np.percentile(seconds, share)) * 1e3, 3) for share in (50, 95, 99)}


def _version(runtime: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(runtime)
    except PackageNotFoundError:
        return "unknown"


def print_table(report: dict[str, Any]) -> None:
    print(
        f"{report['model']}: {report['bytes'] / 1e6:.2f} MB, {report['runtime']} {report['runtime_version']}, ", end=""
    )
    print(f"{report['frames']} frames of {report['source']}, {report['threads']} threads")
    print(f"  {'ms':<16} {'p50':>8} {'p95':>8} {'p99':>8}")
    rows = {f"invoke, {n} threads": row for n, row in report["invoke_ms_by_threads"].items()} | report["stages_ms"]
    for name, row in rows.items():
        print(f"  {name:<16} {row['p50']:>8.2f} {row['p95']:>8.2f} {row['p99']:>8.2f}")
    if report["peak_memory_mb"] is not None:
        print(f"  cold start {report['cold_start_s']:.2f} s, peak memory {report['peak_memory_mb']:.0f} MB")
    print()


def print_comparison(reports: list[dict[str, Any]]) -> None:
    """The models side by side."""
    print(
        f"  {'model':<28} {'MB':>7} {'invoke':>8} {'frame':>8} {'p95':>8} {'threads':>8} {'memory':>8}   (ms, p50; MB)"
    )
    for report in reports:
        invoke, frame = report["stages_ms"]["invoke"], report["stages_ms"]["frame to label"]
        memory = "" if report["peak_memory_mb"] is None else f"{report['peak_memory_mb']:.0f}"
        print(
            f"  {Path(report['model']).name[:28]:<28} {report['bytes'] / 1e6:>7.2f} {invoke['p50']:>8.2f} "
            f"{frame['p50']:>8.2f} {frame['p95']:>8.2f} {report['threads']:>8} {memory:>8}"
        )
    print()
