"""The notebook runs from its first cell to its last, as a user would run it, on the drawn sample."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from edge import Classifier

nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
NOTEBOOK = ROOT / "examples" / "your_photos.ipynb"


def test_no_outputs_are_kept() -> None:
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="takes minutes; FROSTLITE_SLOW=1 runs it")
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    kernel = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "language": "python", "display_name": "Python 3"}))
    notebook = nbformat.read(NOTEBOOK, 4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "accuracy: " in printed
    assert re.search(r"^(horses|humans), score [01]\.\d\d$", printed, re.M)
    with Classifier(tmp_path / "run" / "export" / "best.tflite") as classifier:
        assert classifier.spec.labels == ("horses", "humans")
        assert classifier.spec.scheme
