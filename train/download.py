"""Fetch a public set of photos once, and give the folder it stands in from then on.

    from train.download import fetch
    folder = fetch("horses-or-humans")  # folder/train/{horses,humans}, folder/validation/{horses,humans}

Archives come from FROSTLITE_DATA_URL or the addresses below, and go to FROSTLITE_CACHE or the user's cache.
A broken transfer goes on where it stopped. Nothing is unpacked before its size and SHA-256 are right, and the
folder gets its name in one step, when everything is in it: a folder that exists is whole.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from edge.errors import UserError
from train.cache import cache_folder, locked


@dataclass(frozen=True)
class Archive:
    """One zip of `class/picture` files, and what must be true of it."""

    file: str  # its name under the base address
    bytes: int
    sha256: str  # in hex
    folder: str  # what it is unpacked into
    pictures: Mapping[str, int]  # how many each class has


# Sizes and hashes: url_checksums/horses_or_humans.txt of tensorflow/datasets, which is for the first address.
# The set is by Laurence Moroney, CC BY 2.0.
# fmt: off
DATASETS: Mapping[str, tuple[Archive, ...]] = {
    "horses-or-humans": (
        Archive("horse-or-human.zip", 149_574_867,
                "e2e6f70d3d549c5dd10a57165e55af253ee66ad750403f95c0fb76bb943633a9",
                "train", {"horses": 500, "humans": 527}),
        Archive("validation-horse-or-human.zip", 11_480_187,
                "ae5fff2f4f5554791f05358108e2e05d9801b191f1896ea101402f0e7f6c32c0",
                "validation", {"horses": 128, "humans": 128}),
    ),
}
# fmt: on

# The places the archives were published at, tried in turn; the hash makes any of them as good as the first.
ADDRESSES = (
    "https://storage.googleapis.com/download.tensorflow.org/data",
    "https://storage.googleapis.com/learning-datasets",
    "https://storage.googleapis.com/laurencemoroney-blog.appspot.com",
)
INSTEAD = (
    "use the sample that comes with FrostLite, give a folder of your own photos with --data, "
    "or set FROSTLITE_DATA_URL to a mirror"
)

TIMEOUT = 15.0  # seconds without a byte before a connection counts as broken
PAUSES = (1.0, 2.0, 4.0)  # seconds before each further attempt, after one that brought nothing
CHUNK = 1 << 16  # bytes per read: small enough for a smooth bar, large enough to cost nothing
BUSY = (408, 429, 500, 502, 503, 504)  # HTTP statuses that may be better a moment later
BROKEN = (URLError, HTTPException, SSLError, ConnectionError, TimeoutError)  # by the network, not by the disk

SUFFIXES = (".png", ".jpg", ".jpeg")
# Absolute, out of the folder, or with the separators of another system.
HOSTILE = re.compile(r"^/|[\\:]|(^|/)\.\.(/|$)")


def fetch(
    name: str = "horses-or-humans",
    cache: Path | None = None,
    *,
    datasets: Mapping[str, tuple[Archive, ...]] = DATASETS,
    pauses: Sequence[float] = PAUSES,
) -> Path:
    """Return the folder of the set `name`, downloaded and unpacked under `cache` unless it is there already.

    Raises UserError when the name is unknown, no address can be reached, an archive is not the one expected,
    or `cache` cannot be written.
    """
    if name not in datasets:
        raise UserError(f"expected a data set out of {', '.join(datasets)}; found {name!r}")
    cache = cache or cache_folder()
    folder = cache / name
    if folder.is_dir():
        return folder
    try:
        with locked(cache / ".lock"):
            if not folder.is_dir():  # or else another process has been quicker
                for stale in cache.glob(f".{name}-*"):  # left by a process that was killed
                    shutil.rmtree(stale, ignore_errors=True)
                parts = [(archive, _obtain(archive, cache, pauses)) for archive in datasets[name]]
                _unpack_all(parts, folder)
    except OSError as problem:
        raise UserError(f"cannot fetch {name} into {cache}: {problem}") from problem
    return folder


def _obtain(archive: Archive, cache: Path, pauses: Sequence[float]) -> Path:
    """Return the part file of `archive`, complete and checked, from the first address that has it."""
    mirror = os.environ.get("FROSTLITE_DATA_URL")
    if mirror and not mirror.startswith(("http://", "https://")):
        raise UserError(f"FROSTLITE_DATA_URL: expected an http or https address, found {mirror!r}")
    part = cache / f"{archive.file}.part"
    problems = []
    for base in (mirror,) if mirror else ADDRESSES:
        url = f"{base.rstrip('/')}/{archive.file}"
        try:
            _download(url, part, archive, pauses)
            return part
        except UserError as problem:
            problems.append(f"{url}: {problem}")
        except BROKEN as problem:  # no network: the next address would only take as long to say the same
            problems.append(f"{url}: cannot be reached ({getattr(problem, 'reason', None) or problem})")
            break
    raise UserError(f"{'; '.join(problems)}. Instead, {INSTEAD}")


def _download(url: str, part: Path, archive: Archive, pauses: Sequence[float]) -> None:
    """Bring `part` to its full size, in as many transfers as it takes, and check the hash.

    Raises UserError when the address does not have the file that is expected (the part is deleted), and one
    of BROKEN when `len(pauses)` further attempts brought nothing more.
    """
    furthest, failures = _size(part), 0
    with tqdm(total=archive.bytes, desc=archive.file, unit="B", unit_scale=True, disable=None) as bar:
        while _size(part) != archive.bytes:
            try:
                _transfer(url, part, archive, bar)
            except BROKEN as problem:
                if isinstance(problem, HTTPError):
                    problem.close()
                    if problem.code == 416:  # there is no byte at that place: the part is of something else
                        part.unlink(missing_ok=True)
                    elif problem.code not in BUSY:
                        raise UserError(f"the server says {problem.code} {problem.reason}") from None
                if _size(part) > furthest:  # a slow line that gets on is no failure
                    furthest, failures = _size(part), 0
                if failures == len(pauses):
                    raise
                time.sleep(pauses[failures])
                failures += 1
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    if digest.hexdigest() != archive.sha256:
        part.unlink()
        raise UserError(f"expected SHA-256 {archive.sha256}, found {digest.hexdigest()}")


def _transfer(url: str, part: Path, archive: Archive, bar: tqdm) -> None:
    """One request: append what `part` lacks, or write it anew if the server sends the file from its start.

    Raises UserError for a file of another size (the part is deleted), and one of BROKEN when the answer is
    cut off or is for another range than the one asked for.
    """
    have = _size(part)
    if have > archive.bytes:  # left by another edition of the file
        part.unlink()
        have = 0
    wish = {"Range": f"bytes={have}-"} if have else {}
    with urlopen(Request(url, headers={"User-Agent": "frostlite"} | wish), timeout=TIMEOUT) as answer:
        if answer.status == 206:
            span = answer.headers.get("Content-Range", "")
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", span)
            if not match or int(match[1]) != have:
                part.unlink(missing_ok=True)  # so that the next attempt asks for the whole file
                raise ConnectionError(f"asked for the bytes from {have} on, got {span!r}")
            size = match[2]
        else:
            have = 0
            size = answer.headers.get("Content-Length", "*")
        if size in ("*", str(archive.bytes)):  # "*": the server does not say
            bar.n = found = have
            with part.open("ab" if have else "wb") as file:
                # One byte too many is enough to know that the file is another one.
                while found <= archive.bytes and (block := answer.read1(CHUNK)):
                    file.write(block)
                    found += len(block)
                    bar.update(len(block))
            if found < archive.bytes:
                raise ConnectionError(f"broke off after {found} of {archive.bytes} bytes")
            size = str(found)
    if size != str(archive.bytes):
        part.unlink(missing_ok=True)
        raise UserError(f"expected {archive.bytes} bytes, found {size}")


def _size(path: Path) -> int:
    """Bytes of the file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _unpack_all(parts: Sequence[tuple[Archive, Path]], folder: Path) -> None:
    """Make `folder` out of the archives in one step, then delete them. Raises UserError for a bad archive."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        # One level deeper, for the temporary folder itself is closed to other users.
        whole = Path(scratch, folder.name)
        for archive, part in parts:
            try:
                _unpack(part, archive, whole / archive.folder)
            # RuntimeError: encrypted, or a compression that this Python cannot read.
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as problem:
                raise UserError(f"{archive.file}: expected a sound zip, found: {problem}") from problem
        try:
            whole.rename(folder)
        except OSError:
            if not folder.is_dir():  # or else another process has been quicker
                raise
    for _, part in parts:
        part.unlink(missing_ok=True)


def _unpack(path: Path, archive: Archive, folder: Path) -> None:
    """Write the pictures of the zip at `path` to `folder/class/picture`."""
    with zipfile.ZipFile(path) as zipped:
        for entry in _pictures(zipped.infolist(), archive):
            target = folder / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            # zipfile gives no more bytes than the entry declares, so the limit on their sum holds here too.
            with zipped.open(entry) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file)


def _pictures(entries: Sequence[zipfile.ZipInfo], archive: Archive) -> list[zipfile.ZipInfo]:
    """The entries `class/picture` of the known classes; folders, notes and `__MACOSX` are left out.

    Raises UserError for any path that leads elsewhere, any link or device, too many entries, too many bytes,
    or another number of pictures than a class must have.
    """
    # Beside the pictures: folders, a few files, and the twin that a Mac adds to each file.
    limit = 2 * sum(archive.pictures.values()) + 100
    if len(entries) > limit:
        raise UserError(f"{archive.file}: expected at most {limit} entries, found {len(entries)}")
    wanted = []
    counts = dict.fromkeys(archive.pictures, 0)
    for entry in entries:
        # The upper half of `external_attr` is the Unix mode; programs that know no modes leave it 0.
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if HOSTILE.search(entry.filename) or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{archive.file}: expected plain files, found a link or a way out: {entry.filename!r}")
        label, _, picture = entry.filename.partition("/")
        if label in counts and re.fullmatch(r"[^./][^/]*", picture) and picture.lower().endswith(SUFFIXES):
            wanted.append(entry)
            counts[label] += 1
    # PNG and JPEG are compressed already: a zip of them cannot be half of what it holds, only a bomb can.
    limit = 2 * archive.bytes
    if (total := sum(entry.file_size for entry in wanted)) > limit:
        raise UserError(f"{archive.file}: expected at most {limit} bytes of pictures, found {total}")
    if counts != archive.pictures:
        raise UserError(f"{archive.file}: expected {dict(archive.pictures)} pictures, found {counts}")
    return wanted
