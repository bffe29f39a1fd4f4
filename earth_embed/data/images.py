"""Image files named by a table, decoded when they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earth_embed.errors import DataError, require

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""What an image's file name may end in."""


# Palettes and bitmaps are only encodings of colour and grey; modes left out hold other than 8 bits
# a channel, which a conversion would clip without a word.
_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}


class ImageFiles:
    """Reads image files of one size by table row.

    Every file must exist from the start. Sizes are compared with row 0 as files are decoded: to
    open each of a million files first could take longer than to train.
    """

    def __init__(self, table: Path, names: list[str]) -> None:
        """Finds the files.

        Args:
            table: The table's path, for messages; file names are relative to its folder.
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
            (B, H, W, C) uint8, with C = 1 (grey), 3 (RGB) or 4 (RGBA).

        Raises:
            DataError: an image is unreadable, not 8-bit, or unlike row 0 in size.
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
        """(H, W, C) uint8."""
        try:
            from PIL import Image
        except ImportError as error:
            raise require("pillow", "tables", "reading images") from error
        try:
            with Image.open(self._table.parent / self._names[row]) as image:
                mode = image.mode
                pixels = np.asarray(image.convert(_MODES.get(mode, mode)))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{self._where(row)} cannot be read: {error}") from error
        if mode not in _MODES:
            raise DataError(
                f"{self._where(row)} has pixels of type {mode}; expected 8-bit grey, RGB or RGBA"
            )
        return pixels if pixels.ndim == 3 else pixels[:, :, None]

    def _where(self, row: int) -> str:
        return f"{self._table}: the image {self._names[row]!r} of row {row}"


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
