"""The download against a real server on this machine, which can be told to misbehave."""

import hashlib
import io
import os
import random
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge.errors import UserError
from train.cache import cache_folder
from train.download import ADDRESSES, DATASETS, Archive, fetch

NAME = "toys"
PAUSES = (0.0, 0.0)
CLASSES = {"horses": 2, "humans": 2}


def picture(seed: int, size: int = 50_000) -> bytes:
    """Bytes that a zip cannot shrink, as those of a picture."""
    return random.Random(seed).randbytes(size)


GOOD: dict[str, bytes] = {f"{label}/{label}{i}.png": picture(i) for label in CLASSES for i in range(2)}


def zipped(entries: dict[str, bytes], modes: dict[str, int] | None = None) -> bytes:
    """A zip with these entries; `modes` are Unix modes by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            target.writestr(info, content)
    return buffer.getvalue()


def archive(content: bytes, file: str = "toys.zip", folder: str = "train") -> Archive:
    return Archive(file, len(content), hashlib.sha256(content).hexdigest(), folder, CLASSES)


# What the server may do with one request: the status, the headers, and the bytes it really sends.
Answer = tuple[int, dict[str, str], bytes]


def honest(content: bytes, start: int) -> Answer:
    """The bytes from `start` on, as a good server gives them."""
    if start >= len(content):
        return 416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}, b""
    rest = content[start:]
    if not start:
        return 200, {"Content-Length": str(len(content))}, content
    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return 206, {"Content-Range": span, "Content-Length": str(len(rest))}, rest


def breaks(content: bytes, start: int) -> Answer:
    """Stops in the middle of what it has announced."""
    status, headers, body = honest(content, start)
    return status, headers, body[: len(body) // 2]


def whole(content: bytes, start: int) -> Answer:
    """Knows no Range."""
    return honest(content, 0)


def silent(content: bytes, start: int) -> Answer:
    """Does not say how much there is."""
    return 200, {}, content


def endless(content: bytes, start: int) -> Answer:
    """Does not say how much there is, and gives more."""
    return 200, {}, content + b"more"


def shifted(content: bytes, start: int) -> Answer:
    """Gives another range than the one asked for."""
    return honest(content, start // 2) if start else honest(content, 0)


def refuses(content: bytes, start: int) -> Answer:
    """Says to any Range that there is no such byte."""
    return honest(content, len(content)) if start else honest(content, 0)


def busy(content: bytes, start: int) -> Answer:
    return 503, {"Content-Length": "0"}, b""


def missing(content: bytes, start: int) -> Answer:
    return 404, {"Content-Length": "0"}, b""


class Server(ThreadingHTTPServer):
    """Serves `files`; each request takes the next entry of `plan`, and `honest` when that is used up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.plan: list[Callable[[bytes, int], Answer]] = []
        self.asked: list[tuple[str, str | None]] = []  # path and Range of each request
        self.sent = 0  # bytes of bodies

    def offer(self, *contents: bytes) -> dict[str, tuple[Archive, ...]]:
        """Serve the contents, and give the table to fetch them by."""
        folders = ("train", "validation")
        table = [archive(c, f"{f}.zip", f) for c, f in zip(contents, folders, strict=False)]
        self.files |= {f"/{a.file}": c for a, c in zip(table, contents, strict=True)}
        return {NAME: tuple(table)}

    @property
    def ranges(self) -> list[str | None]:
        return [span for _, span in self.asked]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        span = self.headers.get("Range")
        self.server.asked.append((self.path, span))
        behave = self.server.plan.pop(0) if self.server.plan else honest
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span else 0
        status, headers, body = behave(self.server.files[self.path], start)
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.server.sent += len(body)  # before: a client that has it all does not wait for this thread
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("FROSTLITE_DATA_URL", f"http://127.0.0.1:{running.server_port}/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield running
        running.shutdown()
        thread.join()


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def left(cache: Path) -> set[str]:
    """What stands in the cache beside the lock."""
    return {path.name for path in cache.iterdir()} - {".lock"}


def test_both_archives_once_and_no_request_after_that(server: Server, tmp_path: Path) -> None:
    table = server.offer(zipped(GOOD), zipped(GOOD))
    folder = fetch(NAME, tmp_path, datasets=table)
    assert folder == tmp_path / NAME
    assert contents(folder) == {f"{s}/{n}": c for s in ("train", "validation") for n, c in GOOD.items()}
    assert left(tmp_path) == {NAME}
    assert [path for path, _ in server.asked] == ["/train.zip", "/validation.zip"]
    assert fetch(NAME, tmp_path, datasets=table) == folder
    assert len(server.asked) == 2


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_other_users_may_read_the_folder(server: Server, tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    folder = fetch(NAME, tmp_path, datasets=server.offer(zipped(GOOD)))
    assert folder.stat().st_mode == (tmp_path / "usual").stat().st_mode


HALF = len(zipped(GOOD)) // 2
REST = f"bytes={HALF}-"


@pytest.mark.parametrize(
    ("plan", "ranges"),
    [
        pytest.param([], [None], id="no trouble"),
        pytest.param([breaks], [None, REST], id="a break: only the rest is asked for"),
        pytest.param([breaks, whole], [None, REST], id="no Range there: written anew"),
        pytest.param([breaks, shifted], [None, REST, None], id="another range than asked for: thrown away"),
        pytest.param([breaks, refuses], [None, REST, None], id="416: thrown away"),
        pytest.param([busy, busy], [None, None, None], id="503 twice, then better"),
        pytest.param([busy, breaks, busy], [None, None, REST, REST], id="progress brings new attempts"),
        pytest.param([silent], [None], id="no Content-Length"),
    ],
)
def test_trouble_that_is_overcome(
    plan: list[Callable[[bytes, int], Answer]], ranges: list[str | None], server: Server, tmp_path: Path
) -> None:
    server.plan = plan
    table = server.offer(zipped(GOOD))
    folder = fetch(NAME, tmp_path, datasets=table, pauses=PAUSES)
    assert contents(folder / "train") == GOOD
    assert server.ranges == ranges


def test_a_later_call_goes_on_where_an_earlier_one_was_broken(server: Server, tmp_path: Path) -> None:
    content = zipped(GOOD)
    table = server.offer(content)
    server.plan = [breaks]
    with pytest.raises(UserError, match="broke off after"):
        fetch(NAME, tmp_path, datasets=table, pauses=())
    assert left(tmp_path) == {"train.zip.part"}
    assert contents(fetch(NAME, tmp_path, datasets=table) / "train") == GOOD
    assert server.ranges == [None, REST]
    assert server.sent == len(content)  # not one byte twice


@pytest.mark.parametrize(
    ("part", "ranges"),
    [
        pytest.param(zipped(GOOD), [], id="complete: only the hash is checked"),
        pytest.param(zipped(GOOD) + b"more", [None], id="longer than the file: from another edition"),
        pytest.param(b"", [None], id="empty"),
    ],
)
def test_parts_that_were_there(part: bytes, ranges: list[None], server: Server, tmp_path: Path) -> None:
    (tmp_path / "train.zip.part").write_bytes(part)
    table = server.offer(zipped(GOOD))
    assert contents(fetch(NAME, tmp_path, datasets=table) / "train") == GOOD
    assert server.ranges == ranges


SIZE = len(zipped(GOOD))


@pytest.mark.parametrize(
    ("plan", "change", "message", "requests"),
    [
        pytest.param([], {"bytes": SIZE + 1}, rf"expected {SIZE + 1} bytes, found {SIZE}\b", 1, id="shorter"),
        pytest.param([], {"bytes": SIZE - 1}, rf"expected {SIZE - 1} bytes, found {SIZE}\b", 1, id="longer"),
        pytest.param([endless], {}, rf"expected {SIZE} bytes, found {SIZE + 4}\b", 1, id="longer, unannounced"),
        pytest.param([], {"sha256": "0" * 64}, "expected SHA-256 0{64}, found [0-9a-f]{64}", 1, id="hash"),
        pytest.param([missing], {}, "the server says 404", 1, id="404: no second attempt"),
        pytest.param([busy] * 3, {}, "cannot be reached", 3, id="503 for ever"),
    ],
)
def test_not_the_file_that_is_expected(
    plan: list[Callable[[bytes, int], Answer]],
    change: dict[str, object],
    message: str,
    requests: int,
    server: Server,
    tmp_path: Path,
) -> None:
    server.plan = list(plan)
    (entry,) = server.offer(zipped(GOOD))[NAME]
    with pytest.raises(UserError, match=message) as caught:
        fetch(NAME, tmp_path, datasets={NAME: (replace(entry, **change),)}, pauses=PAUSES)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == set()  # the part is gone
    assert len(server.asked) == requests


def test_a_spoiled_part_is_found_by_the_hash_and_does_not_come_back(server: Server, tmp_path: Path) -> None:
    (tmp_path / "train.zip.part").write_bytes(b"x" * HALF)
    table = server.offer(zipped(GOOD))
    with pytest.raises(UserError, match="SHA-256"):
        fetch(NAME, tmp_path, datasets=table)
    assert contents(fetch(NAME, tmp_path, datasets=table) / "train") == GOOD


def lying(content: bytes, size: int) -> bytes:
    """The zip with the size of its last entry, as the directory declares it, changed to `size` bytes."""
    place = content.rindex(b"PK\x01\x02") + 24
    return content[:place] + size.to_bytes(4, "little") + content[place + 4 :]


LINK = {"horses/link.png": b"/etc/passwd"}
BAD = [
    pytest.param(zipped(GOOD | {"../out.png": b"x"}), "way out", id="above the folder"),
    pytest.param(zipped(GOOD | {"horses/../../out.png": b"x"}), "way out", id="above it on a detour"),
    pytest.param(zipped(GOOD | {"/out.png": b"x"}), "way out", id="absolute"),
    pytest.param(zipped(GOOD | {"horses\\..\\out.png": b"x"}), "way out", id="backslashes"),
    pytest.param(zipped(GOOD | {"C:/out.png": b"x"}), "way out", id="a drive"),
    pytest.param(zipped(GOOD | LINK, {"horses/link.png": 0o120777}), "link", id="a symbolic link"),
    pytest.param(zipped(GOOD | LINK, {"horses/link.png": 0o020666}), "link", id="a device"),
    pytest.param(zipped(GOOD | {"humans/humans1.png": bytes(2_000_000)}), "at most .* bytes", id="a bomb"),
    pytest.param(
        lying(zipped(GOOD | {"humans/humans1.png": bytes(2_000_000)}), 10), "sound zip", id="a bomb that lies"
    ),
    pytest.param(zipped({f"{i}": b"" for i in range(200)}), "at most 108 entries, found 200", id="many entries"),
    pytest.param(zipped(GOOD | {"horses/more.png": b"x"}), "'horses': 3", id="a picture too many"),
    pytest.param(zipped(dict(list(GOOD.items())[1:])), "'horses': 1", id="a picture too few"),
    pytest.param(zipped({f"top/{n}": c for n, c in GOOD.items()}), "'horses': 0", id="one folder deeper"),
    pytest.param(zipped(GOOD).replace(picture(0)[:99], bytes(99)), "sound zip", id="a picture that is damaged"),
    pytest.param(b"<html>Please log in</html>" * 9, "sound zip", id="not a zip at all"),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_bad_archives_leave_nothing(content: bytes, message: str, server: Server, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache"
    with pytest.raises(UserError, match=f"train.zip: .*{message}"):
        fetch(NAME, cache, datasets=server.offer(content))
    assert left(cache) == {"train.zip.part"}
    assert {p.name for p in tmp_path.rglob("*")} == {"deep", "cache", "train.zip.part", ".lock"}


def test_what_is_no_picture_is_left_out(server: Server, tmp_path: Path) -> None:
    noise = [
        "horses/",
        "README.md",
        "horses/notes.txt",
        "__MACOSX/horses/._a.png",
        "horses/._a.png",
        "cows/a.png",
    ]
    content = zipped(GOOD | dict.fromkeys(noise, b""), {"horses/": 0o040755})
    folder = fetch(NAME, tmp_path, datasets=server.offer(content))
    assert contents(folder / "train") == GOOD


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid"])
def test_no_server_there(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FROSTLITE_DATA_URL", address)
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(UserError, match=r"cannot be reached .*sample .*--data.*FROSTLITE_DATA_URL") as caught:
        fetch(cache=tmp_path, pauses=PAUSES)
    assert "\n" not in str(caught.value)


# Ends without any clearing up, as a kill does, before the third picture.
KILLED = """
import os, sys, zipfile
from pathlib import Path
from test_download import NAME, archive, fetch, zipped, GOOD
table = {NAME: (archive(zipped(GOOD), "train.zip"),)}
opened, real = [], zipfile.ZipFile.open
def dies(self, *args, **options):
    opened.append(args)
    return os._exit(9) if len(opened) == 3 else real(self, *args, **options)
zipfile.ZipFile.open = dies
fetch(NAME, Path(sys.argv[1]), datasets=table)
"""


@pytest.mark.skipif(os.name == "nt", reason="only a lock makes it safe to clear up")
def test_killed_while_unpacking(server: Server, tmp_path: Path) -> None:
    table = server.offer(zipped(GOOD))
    here = Path(__file__).resolve().parent
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(command, cwd=here, env=os.environ | {"PYTHONPATH": str(here.parent)}, check=False)
    assert killed.returncode == 9
    assert not (tmp_path / NAME).exists()
    assert len(list(tmp_path.glob(f".{NAME}-*/**/*.png"))) == 2  # it was in the midst of it
    assert contents(fetch(NAME, tmp_path, datasets=table) / "train") == GOOD
    assert left(tmp_path) == {NAME}
    assert len(server.asked) == 1  # the archive was whole, and not asked for again


@pytest.mark.skipif(os.name == "nt", reason="without a lock each downloads for itself")
def test_several_at_once_share_one_download(server: Server, tmp_path: Path) -> None:
    table = server.offer(zipped(GOOD))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch(NAME, tmp_path, datasets=table))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / NAME] * 4
    assert contents(tmp_path / NAME / "train") == GOOD
    assert len(server.asked) == 1


def test_a_second_address_when_the_first_has_no_such_file(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = os.environ["FROSTLITE_DATA_URL"]
    monkeypatch.delenv("FROSTLITE_DATA_URL")
    monkeypatch.setattr("train.download.ADDRESSES", (base, base))
    server.plan = [missing]
    assert contents(fetch(NAME, tmp_path, datasets=server.offer(zipped(GOOD))) / "train") == GOOD
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FROSTLITE_CACHE": "/own", "XDG_CACHE_HOME": "/shared"}, Path("/own")),
        ({"XDG_CACHE_HOME": "/shared"}, Path("/shared/frostlite")),
        ({"XDG_CACHE_HOME": "relative"}, Path("/home/me/.cache/frostlite")),
        ({}, Path("/home/me/.cache/frostlite")),
    ],
)
def test_cache_folder(variables: dict[str, str], expected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    for name in ("FROSTLITE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == expected


@pytest.mark.parametrize(
    ("name", "address", "cache", "message"),
    [
        pytest.param("cows", "", "", "horses-or-humans; found 'cows'", id="unknown set"),
        pytest.param("horses-or-humans", "ftp://host", "", "http.*found 'ftp://host'", id="not http"),
        pytest.param("horses-or-humans", "", "file", "cannot fetch horses-or-humans into", id="cache is a file"),
    ],
)
def test_bad_input(
    name: str, address: str, cache: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FROSTLITE_DATA_URL", address)
    with pytest.raises(UserError, match=message):
        fetch(name, tmp_path / cache)


def test_the_table_is_well_formed() -> None:
    every: Sequence[Archive] = [entry for entries in DATASETS.values() for entry in entries]
    assert all(re.fullmatch("[0-9a-f]{64}", entry.sha256) for entry in every)
    assert all(entry.folder in ("train", "validation") for entry in every)
    assert all(address.startswith("https://") and not address.endswith("/") for address in ADDRESSES)
