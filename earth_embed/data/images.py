"""The image files that a table names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earth_embed.data.sources import allocate
from earth_embed.errors import DataError
from earth_embed.images import decode_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Suffixes that make a text the name of an image file."""


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
            DataError: an image is unreadable, too large, not 8-bit, or of another size than row 0;
                or all of them are larger than memory.
        """
        images = allocate((len(rows), *self._shape), np.uint8, f"{self._table}: its images")
        for image, row in zip(images, rows.tolist(), strict=True):
            image[...] = self._decode(row, self._shape)
        return images

    def _decode(self, row: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
        file = self._table.parent / self._names[row]
        return decode_image(file, self._where(row), "tables", shape, ", as in row 0")

    def _where(self, row: int) -> str:
        return f"{self._table}: the image {self._names[row]!r} of row {row}"
