"""Decodes images: one by one, and the files that a table names."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from earth_embed.errors import DataError, require

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Suffixes that make a text the name of an image file."""

FORMATS = ("PNG", "JPEG", "TIFF")
"""The only decoders that a file may reach. Pillow has dozens more."""

MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}
"""Pillow's mode of a file → the mode of the pixels. Palettes and bitmaps are merely encodings of
colour and grey. Modes with other than 8 bits per channel are refused: converting them would clip
values silently."""


def decode_image(file: Path | BinaryIO, name: str, extra: str) -> np.ndarray:
    """Decodes one image.

    Args:
        file: Its file, PNG, JPEG or TIFF.
        name: What messages call it.
        extra: The extra of `earth-embed` that installs Pillow for the caller.

    Returns:
        (H, W, C) uint8 with C = 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises:
        DataError: it is unreadable or not 8-bit.
        EarthEmbedError: Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise require("pillow", extra, "reading images") from error
    try:
        with Image.open(file, formats=FORMATS) as image:
            mode = image.mode
            wanted = MODES.get(mode, mode)
            pixels = np.asarray(image if mode == wanted else image.convert(wanted))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} cannot be read: {error}") from error
    if mode not in MODES:
        raise DataError(f"{name} has pixels of type {mode}; expected 8-bit grey, RGB or RGBA")
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


class ImageFiles:
    """Reads image files of one size by table row.

    All files must exist from the start. Sizes are compared with row 0 only as files are decoded:
    opening each of a million files first could take longer than training.
    """

    def __init__(self, table: Path, names: list[str]) -> None:
        """Finds the files.

        Args:
            table: The table's path; file names are relative to its folder.
            names: The file name in each row.

        Raises:
            DataError: a file is missing, or the first cannot be read.
        """
        self._table = table
        self._names = names
        for row, name in enumerate(names):
            if not (table.parent / name).is_file():
                raise DataError(f"{self._where(row)} does not exist")
        self._shape = self._decode(0).shape

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Decodes the images of some rows.

        Args:
            rows: (B,) table rows.

        Returns:
            (B, H, W, C) uint8; see `decode_image`.

        Raises:
            DataError: an image is unreadable, not 8-bit, or of another size than row 0.
        """
        images = np.empty((len(rows), *self._shape), np.uint8)
        for image, row in zip(images, rows.tolist(), strict=True):
            decoded = self._decode(row)
            if decoded.shape != self._shape:
                raise DataError(
                    f"{self._where(row)} is {_size(decoded.shape)}; "
                    f"expected {_size(self._shape)}, as in row 0"
                )
            image[...] = decoded
        return images

    def _decode(self, row: int) -> np.ndarray:
        return decode_image(self._table.parent / self._names[row], self._where(row), "tables")

    def _where(self, row: int) -> str:
        return f"{self._table}: the image {self._names[row]!r} of row {row}"


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
