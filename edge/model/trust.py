"""A graph that this machine has not run before first runs in a process of its own.

The SHA-256 in a contract tells damage, not malice: who writes a hostile graph writes its hash too, and a TFLite runtime
is native code that such a graph can crash. In a trial that is one clear line. A graph that came through is remembered
in the cache folder, by its hash; where nothing can be written, every start tries again. It guards against crashes and
hangs at the first run; it is no sandbox, and a graph that reads wild memory may come through once and crash later
(seen in tflite-runtime 2.14, which does not verify the flatbuffer as LiteRT does).
"""

import hashlib
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from edge.errors import UserError
from edge.files import cache_folder

_LONGEST = 60.0  # seconds that a graph may take to load and run once


def survive(graph: bytes, runtime: str) -> None:
    """Load and run a graph once in another process, unless this machine has seen it come through.

    Args:
        graph: the flatbuffer.
        runtime: a name of `edge.model.interpreter.RUNTIMES`.

    Raises:
        UserError: if the process dies, hangs or reports an error.
    """
    try:
        mark = cache_folder() / "ran" / f"{hashlib.sha256(graph).hexdigest()}-{runtime}"
        if mark.exists():
            return
    except (OSError, RuntimeError):  # no home folder, or one that is closed to us
        mark = None
    _try(graph, runtime)
    with suppress(OSError):
        if mark is not None:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def _try(graph: bytes, runtime: str) -> None:
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "edge.model.trial", runtime]
    environment = {**os.environ, "PYTHONPATH": paths}
    try:
        trial = subprocess.run(command, input=graph, capture_output=True, timeout=_LONGEST, env=environment)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"damaged or hostile: it did not run within {_LONGEST:.0f} s") from error
    except OSError as error:
        raise UserError(f"it cannot be tried in a process of its own: {error.strerror}") from error
    if trial.returncode < 0:
        raise UserError(f"damaged or hostile: it ends its process (signal {-trial.returncode})")
    if trial.returncode:
        lines = trial.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(lines[-1].removeprefix("error: ") if lines else "it does not run")
