"""Picture files to frames, against Pillow, which wrote them."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.errors import UserError
from edge.pictures import _on_white, decode_picture, read_picture


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:48, 0:64]
    return Image.fromarray(np.stack([x * 4, y * 5, x + y], axis=2).astype(np.uint8)).convert(mode)


LOSSLESS = {"PNG": {}, "WebP": {"lossless": True}, "BMP": {}}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_pixels(kind: str) -> None:
    frame = decode_picture(encode(gradient(), kind, **LOSSLESS[kind]))
    assert np.array_equal(frame[:, :, ::-1], np.asarray(gradient()))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_gives_nearly_the_pixels(options: dict) -> None:
    frame = decode_picture(encode(gradient(), "JPEG", quality=95, **options))
    assert np.abs(frame[:, :, ::-1].astype(int) - np.asarray(gradient())).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(gradient(), "JPEG", quality=95, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    frame = decode_picture(data)
    assert frame.shape == upright.shape
    assert np.abs(frame[:, :, ::-1].astype(int) - upright).max() <= 2  # two JPEG decoders


def test_grey_gives_three_equal_channels() -> None:
    frame = decode_picture(encode(gradient("L"), "PNG"))
    assert np.array_equal(frame, np.repeat(np.asarray(gradient("L"))[:, :, np.newaxis], 3, axis=2))


def test_sixteen_bits_become_eight() -> None:
    values = (np.arange(48 * 64, dtype=np.uint32).reshape(48, 64) * 21).astype(np.uint16)
    frame = decode_picture(encode(Image.fromarray(values), "PNG"))
    assert frame.dtype == np.uint8
    assert np.abs(frame[:, :, 0].astype(int) - values // 256).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WebP"])
def test_transparency_is_laid_on_white(kind: str) -> None:
    layers = gradient("RGBA")
    layers.putalpha(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))))
    white = Image.new("RGBA", layers.size, "white")
    expected = np.asarray(Image.alpha_composite(white, layers).convert("RGB"))
    frame = decode_picture(encode(layers, kind, **LOSSLESS[kind], **({"exact": True} if kind == "WebP" else {})))
    assert np.abs(frame[:, :, ::-1].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_large_transparent_picture_takes_little_memory(depth: type) -> None:
    """Beside what it is decoded to, no more than its frame and a few megabytes; and no seam between the strips."""
    rows = np.linspace(0, np.iinfo(depth).max, 2000).astype(depth)
    layers = np.repeat(np.repeat(rows[:, np.newaxis, np.newaxis], 1500, axis=1), 4, axis=2)
    tracemalloc.start()
    frame = _on_white(layers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    share = rows.astype(float) / np.iinfo(depth).max
    assert np.abs(frame - (255 * (share * share + 1 - share))[:, np.newaxis, np.newaxis]).max() <= 1
    assert peak < frame.nbytes + (24 << 20)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_truncated_pictures_are_refused(kind: str, share: float) -> None:
    data = encode(gradient(), kind)
    with pytest.raises(ValueError, match=f"{kind}"):
        decode_picture(data[: int(len(data) * share)])


def test_truncated_jpeg_with_a_whole_thumbnail_is_refused() -> None:
    """The end marker of the thumbnail inside the EXIF data is not that of the picture."""
    thumbnail = encode(gradient().resize((16, 12)), "JPEG")
    segment = b"Exif\0\0" + thumbnail
    data = encode(gradient(), "JPEG")
    data = data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
    assert decode_picture(data).shape == (48, 64, 3)
    with pytest.raises(ValueError, match="truncated JPEG"):
        decode_picture(data[:-300])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a JPEG, PNG, WebP or BMP"),  # empty
        (b"GIF89a" + bytes(100), "expected a JPEG"),  # another format
        (b"<html></html>", "expected a JPEG"),  # a web page saved as a picture
        (b"\xff\xd8\xff" + bytes(100), "JPEG"),  # only the first bytes are right
        (b"\x89PNG\r\n\x1a\n" + b"IEND" * 4, "damaged PNG"),  # no chunks
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_picture(data)


def test_errors_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no")
    for path, message in ((tmp_path / "x.jpg", r"x\.jpg: expected a JPEG"), (tmp_path / "y.jpg", r"y\.jpg: expected")):
        with pytest.raises(UserError, match=message):
            read_picture(path)


def test_a_header_that_promises_a_gigapixel_is_refused() -> None:
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(ValueError, match="PNG"):
        decode_picture(data)
