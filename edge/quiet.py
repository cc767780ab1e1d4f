"""Silence for native code that writes to standard error, which no log level reaches."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_one_at_a_time = threading.RLock()  # two at once would each take the other's silence for the real thing


@contextmanager
def quiet() -> Iterator[None]:
    """Send file descriptor 2 of the process nowhere for the length of the block; exceptions still come through."""
    with _one_at_a_time:
        sys.stderr.flush()
        saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)
