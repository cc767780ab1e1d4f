"""What is known of picture files: their digest by name and times, what they show by digest. Kept on disk.

To look at a file again, its bytes are read only if its name, size, times or place on the disk are new, and decoded
only if its bytes are.
"""

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge.pictures import MAX_PICTURE_BYTES, camera, decode_picture
from train.cache import cache_folder
from train.looks import Look, measure
from train.progress import progress

_NAME = "pictures-2.sqlite"  # another number after a change of the decoder forgets everything
_TABLES = """
    CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, stamp TEXT, digest BLOB) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS frames (digest BLOB PRIMARY KEY, pixels BLOB, look TEXT) WITHOUT ROWID;
"""
_MANY = 1000  # files whose facts are written at a time


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a file.

    Attributes:
        digest: SHA-256 of its bytes, hexadecimal; "" if it cannot be read.
        pixels: SHA-256 of its frame, hexadecimal: the same picture in another file has the same.
        reason: why it cannot be read; "" if it can.
        look: its size, light and sharpness; None if it cannot be read.
    """

    digest: str = ""
    pixels: str = ""
    reason: str = ""
    look: Look | None = None


def look(paths: Sequence[Path]) -> dict[Path, Fact]:
    """The facts of picture files, on all cores, with a bar."""
    with closing(_database()) as database, ThreadPoolExecutor() as pool:
        stamps = {path: _stamp(path) for path in paths}
        facts = {path: fact for path in paths if (fact := _recall(database, path, stamps[path]))}
        new = [path for path in stamps if path not in facts]
        lock = threading.Lock()
        found = pool.map(lambda path: _look(path, database, lock), new)
        bar = progress("checking", len(new), iterable=found)
        for number, (path, fact) in enumerate(zip(new, bar, strict=True), 1):
            facts[path] = fact
            if not fact.reason:  # whether it can be read one day is not for ever
                with lock:
                    key = os.fsencode(path.absolute()), stamps[path], bytes.fromhex(fact.digest)
                    database.execute("REPLACE INTO files VALUES (?, ?, ?)", key)
                    values = key[2], bytes.fromhex(fact.pixels), json.dumps(fact.look)
                    database.execute("REPLACE INTO frames VALUES (?, ?, ?)", values)
                    if number % _MANY == 0:
                        database.commit()
        database.commit()
    return facts


def _database() -> sqlite3.Connection:
    """That of the cache; one in memory where the cache cannot be written, or its disk knows no locks."""
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(cache_folder() / _NAME, timeout=60, check_same_thread=False)
        database.executescript(_TABLES)
    except (sqlite3.Error, OSError):
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.executescript(_TABLES)
    return database


def _stamp(path: Path) -> str:
    """Changes with the content of a file: its time of change is the system's, which nobody sets back."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_dev} {status.st_ino}"


def _recall(database: sqlite3.Connection, path: Path, stamp: str) -> Fact | None:
    row = database.execute(
        "SELECT digest, pixels, look FROM files JOIN frames USING (digest) WHERE path = ? AND stamp = ?",
        (os.fsencode(path.absolute()), stamp),
    ).fetchone()
    return Fact(row[0].hex(), row[1].hex(), look=Look(*json.loads(row[2]))) if row else None


def _look(path: Path, database: sqlite3.Connection, lock: threading.Lock) -> Fact:
    try:
        if path.stat().st_size > MAX_PICTURE_BYTES:
            return Fact(reason=f"expected a picture of at most {MAX_PICTURE_BYTES >> 20} MiB")
        data = path.read_bytes()
        digest = hashlib.sha256(data)
        with lock:
            row = database.execute("SELECT pixels, look FROM frames WHERE digest = ?", (digest.digest(),)).fetchone()
        if row:
            return Fact(digest.hexdigest(), row[0].hex(), look=Look(*json.loads(row[1])))
        frame = decode_picture(data)
    except OSError as error:
        return Fact(reason=error.strerror or str(error))
    except ValueError as error:
        return Fact(reason=str(error))
    pixels = hashlib.sha256(repr(frame.shape).encode())
    pixels.update(frame.data if frame.flags.c_contiguous else frame.tobytes())
    return Fact(digest.hexdigest(), pixels.hexdigest(), look=measure(frame, camera(data)))
