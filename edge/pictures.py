"""Picture files to frames: upright, without transparency, whole; and which files are pictures, by their content."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edge.errors import UserError

MAX_PICTURE_BYTES = 1 << 28
_STRIP = 1 << 18  # pixels that are laid on white at a time: as floats they take many times their bytes


def read_picture(path: str | Path) -> np.ndarray:
    """Read a picture file to a BGR uint8 frame (height, width, 3), as `decode_picture` does.

    Raises:
        UserError: if it is missing, too large, no picture of a known format, truncated or damaged.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_PICTURE_BYTES:
            raise UserError(f"{path}: expected a picture of at most {MAX_PICTURE_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: expected a picture, found: {error.strerror or error}") from error
    try:
        return decode_picture(data)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def decode_picture(data: bytes) -> np.ndarray:
    """Decode the bytes of a picture file to a BGR uint8 frame (height, width, 3).

    Turned upright as its EXIF data say, in every format that has them. Grey pictures get three equal channels, 16 bits
    become 8, transparent parts are laid on white, of an animation the first frame is taken.

    Raises:
        ValueError: if it is no picture of a known format, truncated or damaged.
    """
    kind = picture_format(data)
    if not _COMPLETE.get(kind, bool)(data):
        raise ValueError(f"truncated {kind} picture")
    transparency, exif = _hints(kind, data)
    try:
        encoded = np.frombuffer(data, np.uint8)
        layers = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if transparency is not None else None
        if layers is not None and layers.ndim == 3 and layers.shape[2] == 4:
            frame = _on_white(layers)
        else:
            # One rule on every OpenCV: some turn JPEG alone, some PNG and WebP too.
            frame = cv2.imdecode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            if transparency and layers is not None and layers.ndim == 2:  # OpenCV passes over the one clear grey
                frame[layers == _grey(data, transparency)] = 255
    except cv2.error as error:
        raise ValueError(f"damaged {kind} picture, or one too large ({error.err})") from error
    if frame is None:
        raise ValueError(f"damaged {kind} picture")
    orientation = int.from_bytes(_entry(exif, _ORIENTATION)[4:6], _order(exif))
    return _turned(frame, orientation) if orientation <= 8 else frame


def camera(data: bytes) -> str:
    """The model of the camera that the EXIF data of a picture file name; "" if they name none."""
    exif = _hints(picture_format(data), data)[1]
    entry = _entry(exif, _MODEL)
    count, start = (int.from_bytes(entry[at : at + 4], _order(exif)) for at in (0, 4))
    text = entry[4 : 4 + count] if count <= 4 else exif[start : start + min(count, 64)]
    return text.split(b"\0")[0].decode("utf-8", "replace").strip()


def picture_format(data: bytes) -> str:
    """The format of a picture that can be read, by its first bytes: a name of `_MAGIC`.

    Raises:
        ValueError: for anything else; of formats that need another program first, it says so.
    """
    for kind, magic in _MAGIC.items():
        if magic.match(data):
            return kind
    expected = "expected a JPEG, PNG, WebP, BMP or PPM picture"
    if kind := foreign_format(data):
        raise ValueError(f"{expected}, found {kind}: save it as JPEG first (magick mogrify -format jpg FILE)")
    raise ValueError(f"{expected}, found {data[:8]!r}")


def foreign_format(data: bytes) -> str:
    """The format of a picture that not every OpenCV reads, by its first bytes; "" for anything else."""
    return next((kind for kind, magic in _FOREIGN.items() if magic.match(data)), "")


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its suffix or its first bytes, of a format that can be read or not.

    Raises:
        OSError: if it has to be opened for that, and cannot be.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        data = file.read(64)
    return bool(foreign_format(data)) or any(magic.match(data) for magic in _MAGIC.values())


def jpeg_end(data: bytes | bytearray) -> int | None:
    """Where a JPEG that starts at the first byte ends, by its own markers; None if its end is not there.

    Pictures inside its metadata do not confuse it. libjpeg fills what is missing with grey, in silence.

    Raises:
        ValueError: if it is damaged so that its end cannot be told.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0xD8:
            raise ValueError("damaged JPEG picture: another one starts within")
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:  # entropy-coded data follow: up to the next marker that is no restart and no stuffing
            found = _JPEG_MARKER.search(data, at)
            if found is None:
                return None
            at = found.start()
    return at + 2 if data[at : at + 2] == b"\xff\xd9" else None


_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

_MAGIC = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WebP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "BMP": re.compile(rb"BM.{8}....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
    "PPM": re.compile(rb"P[1-6]\s"),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
}
_FOREIGN = {
    "AVIF": re.compile(rb"....ftyp(avi[fs]|mif1.{4}(.{4})*?avif)", re.DOTALL),
    "HEIC": re.compile(rb"....ftyp(hei[cxms]|hev[cxm]|mif1|msf1)", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "GIF": re.compile(rb"GIF8[79]a"),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
}
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}
SUFFIXES |= {".heic", ".heif", ".hif", ".avif", ".tif", ".tiff", ".gif", ".jxl"}

_COMPLETE = {
    "JPEG": lambda data: jpeg_end(data) is not None,
    "PNG": lambda data: any(name == b"IEND" for name, _ in _png_chunks(data)),
    "WebP": lambda data: len(data) >= int.from_bytes(data[4:8], "little") + 8,
    "BMP": lambda data: len(data) >= int.from_bytes(data[2:6], "little"),
    "PPM": lambda data: _pnm_complete(data),
}


def _pnm_complete(data: bytes) -> bool:
    space = rb"(?:\s|#[^\n]*\n)+"
    found = re.match(rb"P([456])" + space + rb"(\d+)" + space + rb"(\d+)(?:" + space + rb"(\d+))?", data)
    if not found:
        return True  # in plain numbers: OpenCV sees where they end
    kind, width, height = (int(found[i]) for i in (1, 2, 3))
    if kind == 4:
        return len(data) > found.end(3) + (width + 7) // 8 * height
    return found[4] is not None and len(data) > found.end() + width * height * (3 if kind == 6 else 1) * (
        2 if int(found[4]) > 255 else 1
    )


def _hints(kind: str, data: bytes) -> tuple[bytes | None, bytes]:
    """What decoders differ about: transparency (None: there is none; the tRNS chunk of a PNG), and the EXIF data."""
    transparency, exif = None, b""
    if kind == "PNG":
        if data[25] in (4, 6):  # colour types with alpha; a tRNS chunk gives it to the others
            transparency = b""
        for name, place in _png_chunks(data):
            if name == b"tRNS":
                transparency = data[place]
            elif name == b"eXIf":
                exif = data[place]
    elif kind == "WebP":
        transparency = b"" if data[12:16] in (b"VP8X", b"VP8L") else None
        at = 12
        while at + 8 <= len(data):
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            if data[at : at + 4] == b"EXIF":
                exif = data[at + 8 : at + 8 + size]
            at += 8 + size + size % 2
    elif kind == "JPEG":
        at = 2
        while not exif and data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda" and at + 4 <= len(data):
            if data[at + 1] == 0xFF:  # fill byte
                at += 1
                continue
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            if data[at + 1] == 0xE1 and data[at + 4 : at + 8] == b"Exif":
                exif = data[at + 4 : at + 2 + size]
            at += 2 + size
    return transparency, exif.removeprefix(b"Exif\0\0")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, slice]]:
    """Name and place of the body of every chunk that is whole."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        yield data[at + 4 : at + 8], slice(at + 8, end)
        at = end + 4


_ORIENTATION, _MODEL = 0x0112, 0x0110  # tags


def _order(exif: bytes) -> Literal["little", "big"]:
    return "little" if exif[:2] == b"II" else "big"


def _entry(exif: bytes, tag: int) -> bytes:
    """The count and the value (or where it is) of a tag in the first directory of EXIF data; empty if missing."""
    order = _order(exif)
    start = int.from_bytes(exif[4:8], order)
    for at in range(start + 2, start + 2 + 12 * int.from_bytes(exif[start : start + 2], order), 12):
        if len(exif) < at + 10:
            break
        if int.from_bytes(exif[at : at + 2], order) == tag:
            return exif[at + 4 : at + 12]
    return b""


def _turned(frame: np.ndarray, orientation: int) -> np.ndarray:
    """A frame as the eight orientations of EXIF 2.3 want it shown."""
    if orientation >= 5:
        frame = cv2.transpose(frame)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return frame if flip is None else cv2.flip(frame, flip)


def _grey(data: bytes, transparency: bytes) -> int:
    """The clear grey of a PNG in the depth that OpenCV decodes it to: less than 8 bits are stretched to 8."""
    depth = data[24]
    value = int.from_bytes(transparency[:2], "big")
    return value if depth >= 8 else value * 255 // ((1 << depth) - 1)


def _on_white(layers: np.ndarray) -> np.ndarray:
    """Lay BGRA of 8 or 16 bits (height, width, 4) on white: BGR uint8."""
    height, width = layers.shape[:2]
    depth = np.float32(np.iinfo(layers.dtype).max)
    frame = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        strip = layers[top : top + rows].astype(np.float32) / depth
        colour, alpha = strip[:, :, :3] * 255, strip[:, :, 3:]
        frame[top : top + rows] = np.rint(colour * alpha + 255 * (1 - alpha))
    return frame
