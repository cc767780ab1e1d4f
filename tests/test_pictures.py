"""Picture files to frames, against Pillow, which wrote them."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from edge.errors import UserError
from edge.pictures import _on_white, decode_picture, is_picture, read_picture


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


def as_pillow(data: bytes) -> np.ndarray:
    """RGB of the first frame, upright and on white, by Pillow alone."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    layers = picture.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB"))


def translucent() -> Image.Image:
    layers = gradient("RGBA")
    layers.putalpha(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))))
    return layers


def after_chunks(data: bytes, size: int) -> bytes:
    """A PNG with a text chunk of `size` bytes behind its header."""
    body = b"tEXt" + b"Comment\0" + b"x" * size
    return data[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]


def exif_at_the_end(data: bytes, exif: Image.Exif) -> bytes:
    """A PNG with its EXIF data behind the pixels."""
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    return data[:-12] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[-12:]


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "a maker"  # an entry before it
    exif[0x0112] = orientation
    return exif


def big_endian(orientation: int) -> bytes:
    return b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1" + struct.pack(">HHI", orientation, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "picture", "options"),
    [
        ("JPEG", gradient(), {"quality": 95}),
        ("JPEG", gradient("L"), {"quality": 95}),
        ("JPEG", gradient("CMYK"), {"quality": 95}),
        ("PNG", gradient(), {}),
        ("PNG", translucent(), {}),
        ("PNG", gradient("P"), {"transparency": 7}),
        ("WebP", gradient(), {"lossless": True}),
        ("WebP", translucent(), {"lossless": True, "exact": True}),
        ("WebP", gradient(), {"lossless": True, "save_all": True, "append_images": [gradient("L")]}),
    ],
)
def test_every_format_is_turned_upright(kind: str, picture: Image.Image, options: dict, orientation: int) -> None:
    for exif in (oriented(orientation), big_endian(orientation)):
        data = encode(picture, kind, exif=exif, **options)
        upright, frame = as_pillow(data), decode_picture(data)
        assert frame.shape == upright.shape
        assert np.abs(frame[:, :, ::-1].astype(int) - upright).max() <= 2  # two decoders


@pytest.mark.parametrize(
    ("data", "remark"),
    [
        (encode(gradient(), "JPEG", exif=big_endian(0)), "an orientation that is none"),
        (encode(gradient(), "JPEG", exif=big_endian(9)), "another"),
        (encode(gradient(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff"), "a directory outside of the data"),
        (encode(gradient(), "JPEG", exif=big_endian(6)[:20]), "a directory that breaks off"),
        (encode(gradient(), "JPEG", exif=b"Exif\0\0II"), "no directory"),
        (encode(gradient(), "PNG", exif=b""), "empty"),
    ],
)
def test_damaged_exif_data_turn_nothing(data: bytes, remark: str) -> None:
    assert decode_picture(data).shape == (48, 64, 3), remark


def test_exif_behind_other_segments_and_behind_the_pixels_is_found() -> None:
    data = encode(gradient(), "JPEG", quality=95, exif=oriented(6))
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x/>" * 1500
    filled = b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp + b"\xff"  # and a fill byte
    assert decode_picture(data[:2] + filled + data[2:]).shape == (64, 48, 3)
    assert decode_picture(exif_at_the_end(encode(gradient(), "PNG"), oriented(6))).shape == (64, 48, 3)


@pytest.mark.parametrize(
    ("data", "remark"),
    [
        (after_chunks(encode(gradient("P"), "PNG", transparency=3), 10_000), "of a palette, behind a long text"),
        (after_chunks(encode(gradient(), "PNG", transparency=(0, 0, 0)), 70_000), "one clear colour, behind more"),
        (encode(gradient("L"), "PNG", transparency=0), "one clear grey"),
        (encode(gradient("L").point(lambda v: v // 128 * 255).convert("1"), "PNG", transparency=0), "of one bit"),
        (encode(gradient("LA"), "PNG"), "grey with alpha"),
        (encode(translucent(), "PNG", save_all=True, append_images=[gradient("RGBA")]), "the first frame of an APNG"),
        (encode(translucent().quantize(32), "PNG"), "a palette with alpha"),
        (encode(gradient("CMYK"), "JPEG", quality=95), "CMYK, as printers want it"),
        (encode(gradient(), "PPM"), "PPM"),
        (encode(gradient("L"), "PPM"), "PGM"),
        (encode(gradient("1"), "PPM"), "PBM"),
        (encode(gradient(), "JPEG2000", irreversible=False), "JPEG 2000"),
        (encode(gradient().quantize(8), "BMP"), "BMP with a palette"),
        (encode(gradient("1"), "PNG"), "one bit"),
    ],
)
def test_colours_are_those_of_pillow(data: bytes, remark: str) -> None:
    assert np.abs(decode_picture(data)[:, :, ::-1].astype(int) - as_pillow(data)).max() <= 2, remark


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
        (encode(gradient(), "TIFF"), "TIFF"),
        (encode(gradient("P"), "GIF"), "GIF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    ],
)
def test_formats_that_not_every_opencv_reads_are_named_with_the_remedy(data: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(data)
    assert is_picture(path)
    with pytest.raises(UserError, match=rf"photo: .*found {kind}: save it as JPEG"):
        read_picture(path)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.jfif", b"", True),  # by its name: that it cannot be read is said later
        ("a.JPE", b"", True),
        ("a.HEIC", b"", True),
        ("a", encode(gradient(), "JPEG"), True),
        ("a.txt", encode(gradient(), "PNG"), True),
        ("a.dat", encode(gradient(), "WebP"), True),
        ("a", encode(gradient(), "PPM"), True),
        ("a", encode(gradient(), "BMP"), True),
        ("a", b"", False),
        ("notes.txt", b"BMW and Porsche, ten a day", False),
        ("a.csv", b"P1;x", False),
        ("a.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", False),
        ("a.xml", b"<annotation>", False),
    ],
)
def test_what_a_file_is_says_its_content(name: str, data: bytes, expected: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert is_picture(tmp_path / name) == expected


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
    data = encode(translucent(), kind, **LOSSLESS[kind], **({"exact": True} if kind == "WebP" else {}))
    assert np.abs(decode_picture(data)[:, :, ::-1].astype(int) - as_pillow(data)).max() <= 1


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "BMP", "PPM", "JPEG2000"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_truncated_pictures_are_refused(kind: str, share: float) -> None:
    data = encode(gradient(), kind)
    with pytest.raises(ValueError, match="JPEG 2000" if kind == "JPEG2000" else kind):
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
        (b"", "expected a JPEG, PNG, WebP, BMP or PPM"),  # empty
        (b"GIF89a" + bytes(100), "expected a JPEG"),  # another format
        (b"<html></html>", "expected a JPEG"),  # a web page saved as a picture
        (b"\xff\xd8\xff" + bytes(100), "JPEG"),  # only the first bytes are right
        (b"\x89PNG\r\n\x1a\n" + b"IEND" * 4, "truncated PNG"),  # no chunks
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
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(ValueError, match="PNG"):
        decode_picture(data)
