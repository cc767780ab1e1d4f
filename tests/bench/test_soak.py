"""Frames for long leave memory, threads and open files as they were: FROSTLITE_SLOW=1 pytest tests/bench/test_soak.py

FROSTLITE_SOAK sets how many, 100,000 by default.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAMES = int(os.environ.get("FROSTLITE_SOAK", "100000"))


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="takes minutes; FROSTLITE_SLOW=1 runs it")
def test_memory_threads_and_files_stay_flat(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.soak", tiny_model, str(FRAMES)]
    job = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert job.returncode == 0, job.stderr
    found = json.loads(job.stdout)
    print(found)
    assert found["reopened"] >= FRAMES // 10_000 - 1
    assert found["seen_by_viewers"] > 1 << 20
    settled = found["windows"][10:]
    memory, threads, files = zip(*settled, strict=True)
    assert max(memory) - min(memory) < 16 << 10, memory
    quarter = len(settled) // 4
    for values in (threads, files):  # viewers come and go: the most of the last quarter against that of the first
        assert max(values[-quarter:]) <= max(values[:quarter]) + 2, values
