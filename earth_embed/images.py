"""Reads images of named formats, and looks at their size before it decodes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from earth_embed.errors import DataError, require

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "TIFF")
"""The only decoders that a file may reach. Pillow has dozens more, and one of them starts a
program (Ghostscript, for EPS)."""

MAX_PIXELS = 2**26
"""Most pixels of an image: 8192 × 8192. A sample is encoded whole, in batches, so real ones are far
smaller. A file of some kilobytes can claim any size; at this limit it costs 256 MiB at most
(RGBA)."""

CHANNELS = {"1": ("L", 1), "L": ("L", 1), "P": ("RGB", 3), "RGB": ("RGB", 3), "RGBA": ("RGBA", 4)}
"""Pillow's mode of a file → the mode of the pixels and their channels. Palettes and bitmaps are
merely encodings of colour and grey. Modes with other than 8 bits per channel are refused:
converting them would clip values silently."""

_BITS, _TILE_WIDTH, _TILE_LENGTH = 258, 322, 323
"""Tags of TIFF. A tile may be larger than its image, and is decoded whole."""


@contextmanager
def open_image(
    file: Path | IO[bytes], name: str, extra: str, formats: tuple[str, ...] = FORMATS
) -> Iterator[ImageFile]:
    """Opens an image by its header; nothing is decoded yet.

    Of a file with several frames or pages this is the first.

    Args:
        file: The file.
        name: What messages call it.
        extra: The extra of `earth-embed` that installs Pillow for the caller.
        formats: Pillow's names of the formats that it may have, of `FORMATS`.

    Raises:
        DataError: the image cannot be read, here or by what the caller does with it; it has more
            than `MAX_PIXELS`.
        EarthEmbedError: Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise require("pillow", extra, "reading images") from error
    Image.init()
    try:
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
            # `Image.open` does the same, but prints a warning of large images before we can refuse.
            start = stream.read(16)
            kind = next(kind for kind in formats if (Image.OPEN[kind][1] or bool)(start))
            stream.seek(0)
            with Image.OPEN[kind][0](stream, name) as image:
                width, height = image.size
                _check_size(name, height, width)
                tags = getattr(image, "tag_v2", {})
                _check_size(f"{name}: a tile", tags.get(_TILE_LENGTH, 0), tags.get(_TILE_WIDTH, 0))
                yield image
    except DataError:
        raise
    except StopIteration as error:
        expected = " or ".join(formats)
        raise DataError(f"{name} cannot be read: it begins as no {expected} does") from error
    except Exception as error:  # at damaged files Pillow's parsers raise a dozen kinds
        raise DataError(f"{name} cannot be read: {error or type(error).__name__}") from error


def decode_image(
    file: Path | IO[bytes],
    name: str,
    extra: str,
    shape: tuple[int, ...] | None = None,
    because: str = "",
) -> np.ndarray:
    """Decodes one image.

    Args:
        file: Its file, PNG, JPEG or TIFF.
        name: What messages call it.
        extra: The extra of `earth-embed` that installs Pillow for the caller.
        shape: The (H, W, C) that it must have; None: any.
        because: Where that shape comes from, for the message.

    Returns:
        (H, W, C) uint8 with C = 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises:
        DataError: it is unreadable, too large, not 8-bit or of another shape.
        EarthEmbedError: Pillow is missing.
    """
    with open_image(file, name, extra) as image:
        # Pillow cuts 16-bit colour to 8 bits silently; only the layout of the stored pixels tells.
        bits = getattr(image, "tag_v2", {}).get(_BITS, (8,))
        deep = ";16" in str(image.tile) or max(bits) > 8
        if image.mode not in CHANNELS or deep:
            kind = image.mode + " of more than 8 bits" * (image.mode in CHANNELS)
            raise DataError(f"{name} has pixels of type {kind}; expected 8-bit grey, RGB or RGBA")
        mode, channels = CHANNELS[image.mode]
        found = (image.height, image.width, channels)
        if shape is not None and found != shape:
            raise DataError(f"{name} is {_times(found)}; expected {_times(shape)}{because}")
        return np.asarray(image if image.mode == mode else image.convert(mode)).reshape(found)


def _check_size(name: str, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{name} is too large: expected at most {MAX_PIXELS:,} pixels, found {height} × {width}"
        )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
