"""Images from elsewhere: the right pixels, or one error before anything large is decoded."""

import io
import struct
import subprocess
import zlib

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from earth_embed.data import sources
from earth_embed.data.sources import allocate
from earth_embed.errors import DataError, EarthEmbedError
from earth_embed.images import MAX_PIXELS, decode_image, open_image
from tests.fuzzing import fuzz

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
SMOOTH = np.linspace(0, 255, 16 * 16 * 3).reshape(16, 16, 3).astype(np.uint8)


def decode(content, **arguments):
    return decode_image(io.BytesIO(content), "the image", "tables", **arguments)


def encoded(pixels, kind, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def png(width, height, bits=8, colour=2, body=b""):
    """A PNG of any claims."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def tiff(*tags, body=b"\0" * 64):
    """A TIFF of the given (tag, kind, values)."""
    head, beyond = struct.pack("<2sHIH", b"II", 42, 8, len(tags)), b""
    after = 8 + 2 + 12 * len(tags) + 4
    for tag, kind, values in sorted(tags):
        data = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(data) > 4:
            data, beyond = struct.pack("<I", after + len(beyond)), beyond + data
        head += struct.pack("<HHI", tag, kind, len(values)) + data.ljust(4, b"\0")
    return head + b"\0\0\0\0" + beyond + body


def grey_tiff(width, height, **more):
    tags = {"256": (4, [width]), "257": (4, [height]), "258": (3, [8]), "259": (3, [1])}
    tags |= {"262": (3, [1]), "273": (4, [150])}
    tags |= {"277": (3, [1]), "279": (4, [16])} | more
    return tiff(*((int(tag), *value) for tag, value in tags.items()))


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("TIFF", {}), ("JPEG", {"quality": 95})]
)
def test_the_pixels_are_those_that_were_stored(kind, options):
    found = decode(encoded(SMOOTH, kind, **options))
    np.testing.assert_allclose(found.astype(float), SMOOTH, atol=0 if kind != "JPEG" else 12)
    assert found.shape == SMOOTH.shape


@pytest.mark.parametrize("kind", ["EPS", "GIF", "BMP", "PPM", "TGA", "WEBP"])
def test_other_formats_reach_no_decoder_and_no_program(kind, monkeypatch):
    def run(*arguments, **_):
        raise AssertionError(f"started {arguments}")

    monkeypatch.setattr(subprocess, "Popen", run)
    with pytest.raises(DataError, match="cannot be read: it begins as no PNG or JPEG or TIFF"):
        decode(encoded(PIXELS, kind))


LARGE = r"^the image is too large: expected at most 67,108,864 pixels"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (png(9_000, 9_000), r", found 9000 × 9000$"),
        (png(13_000, 13_000), r", found 13000 × 13000$"),  # Pillow would warn
        (png(65_000, 65_000), r", found 65000 × 65000$"),  # Pillow would refuse
        (grey_tiff(MAX_PIXELS + 1, 1), rf", found 1 × {MAX_PIXELS + 1}$"),
    ],
)
def test_the_size_is_read_before_anything_is_decoded(content, found):
    assert len(content) < 300  # a decoder would say that it is cut
    with pytest.raises(DataError, match=LARGE + found):
        decode(content)


def test_a_tile_may_not_be_larger_than_an_image():
    tile = {"322": (4, [2**16]), "323": (4, [2**15])}
    with pytest.raises(DataError, match=r"a tile is too large: expected .*, found 32768 × 65536"):
        decode(grey_tiff(4, 4, **tile))


def test_the_largest_size_that_is_allowed_passes_the_header():
    with open_image(io.BytesIO(png(8192, 8192)), "the image", "tables") as image:
        assert image.size == (8192, 8192)
    with pytest.raises(DataError, match="truncated"):
        decode(png(8192, 8192, body=b"\0" * 100))


DEEP = {"258": (3, [16] * 3), "262": (3, [2]), "277": (3, [3])}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (png(2, 2, bits=16, colour=0, body=bytes(10)), "I;16"),
        (png(2, 2, bits=16, colour=2, body=bytes(26)), "RGB of more than 8 bits"),
        (png(2, 2, bits=16, colour=6, body=bytes(34)), "RGBA of more than 8 bits"),
        (grey_tiff(2, 2, **DEEP), "RGB of more than 8 bits"),
        (encoded(PIXELS[:, :, 0].astype(np.float32), "TIFF"), "F"),
        (encoded(PIXELS[:, :, 0].astype(np.int32), "TIFF"), "I"),
    ],
)
def test_deeper_pixels_are_refused_and_never_cut_to_8_bits(content, kind):
    message = rf"^the image has pixels of type {kind}; expected 8-bit grey, RGB or RGBA$"
    with pytest.raises(DataError, match=message):
        decode(content)


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_the_first_of_several_frames_is_read(kind):
    file, others = io.BytesIO(), [Image.fromarray(255 - PIXELS), Image.fromarray(PIXELS // 2)]
    Image.fromarray(PIXELS).save(file, kind, save_all=True, append_images=others)
    assert Image.open(file).n_frames == 3
    np.testing.assert_array_equal(decode(file.getvalue()), PIXELS)


def test_another_shape_is_refused_without_decoding():
    with pytest.raises(DataError, match=r"^the image is 600×800×3; expected 12×9×3, as in row 0$"):
        decode(png(800, 600), shape=(12, 9, 3), because=", as in row 0")
    np.testing.assert_array_equal(decode(encoded(PIXELS, "PNG"), shape=PIXELS.shape), PIXELS)


def test_samples_larger_than_memory_are_refused(monkeypatch):
    with pytest.raises(DataError, match=r"^its images need 953,674\.3 GiB, as uint8 of shape \("):
        allocate((10**6, 32_000, 32_000), np.uint8, "its images")
    monkeypatch.setattr(sources, "_memory", lambda: 2**30)
    assert allocate((2**28,), np.float32, "it").nbytes == 2**30
    message = r"most the memory of this process, of 1\.0 GiB on this .* \(Input\(in_memory=False\)"
    with pytest.raises(DataError, match=message):
        allocate((2**28 + 1,), np.float32, "it")


WHOLE = {kind: encoded(PIXELS, kind) for kind in ("PNG", "TIFF", "JPEG")} | {
    "packed TIFF": encoded(PIXELS, "TIFF", compression="tiff_deflate"),
    "JPEG in TIFF": encoded(SMOOTH, "TIFF", compression="jpeg"),
}
EDITS = st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), max_size=4)


@fuzz(400, kind=st.sampled_from(sorted(WHOLE)), edits=EDITS, cut=st.none() | st.integers(0, 4000))
def test_a_damaged_image_is_8_bit_pixels_or_one_error(kind, edits, cut):
    content = bytearray(WHOLE[kind])
    for place, new in edits:
        place %= len(content)
        content[place : place + len(new)] = new
    intact, kept = bytes(content) == WHOLE[kind], bytes(content[:cut])
    try:
        pixels = decode(kept)
    except EarthEmbedError as error:
        assert str(error).startswith("the image ")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        assert not intact or len(kept) < len(content)
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] in (1, 3, 4)
    assert pixels.size <= 4 * MAX_PIXELS
    if intact:  # only what stands behind the pixels may be cut
        np.testing.assert_array_equal(pixels, decode(WHOLE[kind]))


SIZES = st.integers(0, 2**31 - 1) | st.integers(0, 40)


@fuzz(
    300,
    width=SIZES,
    height=SIZES,
    bits=st.sampled_from([0, 1, 2, 4, 8, 16, 32]),
    colour=st.sampled_from([0, 1, 2, 3, 4, 6]),
    body=st.binary(max_size=200) | st.integers(0, 6000).map(bytes),
)
def test_a_header_of_any_claims_is_pixels_of_that_size_or_one_error(
    width, height, bits, colour, body
):
    try:
        pixels = decode(png(width, height, bits, colour, body))
    except DataError:
        return
    assert pixels.shape[:2] == (height, width)
    assert bits <= 8
    assert pixels.size <= 4 * MAX_PIXELS
