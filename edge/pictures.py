"""Picture files to frames: JPEG, PNG, WebP and BMP, with rotation, transparency and damage taken care of."""

import re
from pathlib import Path

import cv2
import numpy as np

from edge.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MAX_PICTURE_BYTES = 1 << 28
_STRIP = 1 << 18  # pixels that are laid on white at a time: as floats they take many times their bytes


def read_picture(path: str | Path) -> np.ndarray:
    """Read a picture file to a BGR uint8 frame (height, width, 3), upright as its EXIF data say.

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

    Grey pictures get three equal channels, 16 bits become 8, transparent parts are laid on white.

    Raises:
        ValueError: if it is no picture of a known format, truncated or damaged.
    """
    kind = picture_format(data)
    if not _COMPLETE[kind](data):
        raise ValueError(f"truncated {kind} picture")
    try:
        encoded = np.frombuffer(data, np.uint8)
        frame = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        layers = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if _may_have_alpha(kind, data) else None
    except cv2.error as error:
        raise ValueError(f"damaged {kind} picture, or one too large ({error.err})") from error
    if frame is None:
        raise ValueError(f"damaged {kind} picture")
    if layers is not None and layers.ndim == 3 and layers.shape[2] == 4:
        return _on_white(layers)
    return frame


def picture_format(data: bytes) -> str:
    """ "JPEG", "PNG", "WebP" or "BMP", by the first bytes.

    Raises:
        ValueError: for anything else.
    """
    for kind, magic in (("JPEG", b"\xff\xd8\xff"), ("PNG", b"\x89PNG\r\n\x1a\n"), ("BMP", b"BM")):
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    raise ValueError(f"expected a JPEG, PNG, WebP or BMP picture, found {data[:8]!r}")


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

_COMPLETE = {
    "JPEG": lambda data: jpeg_end(data) is not None,
    "PNG": lambda data: b"IEND" in data[-(1 << 16) :],
    "WebP": lambda data: len(data) >= int.from_bytes(data[4:8], "little") + 8,
    "BMP": lambda data: len(data) >= int.from_bytes(data[2:6], "little"),
}


def _may_have_alpha(kind: str, data: bytes) -> bool:
    if kind == "PNG":  # colour types 4 and 6 carry alpha, a tRNS chunk gives it to the others
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[:4096]
    return kind == "WebP" and data[12:16] in (b"VP8X", b"VP8L")


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
