"""Modalities from a table of places, with the samples inside the table or beside it.

`docs/pages/how-to/tables.md` documents the format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from earth_embed.cells import rows_of_split
from earth_embed.data.images import IMAGE_SUFFIXES, ImageFiles
from earth_embed.data.sources import SMALL, Examples, Source, encode_text, open_npy
from earth_embed.errors import DataError
from earth_embed.geotable import read_geotable
from earth_embed.tablefiles import is_text

if TYPE_CHECKING:
    import pyarrow

Reader: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Reads the samples of some table rows: (B,) row numbers → (B, ...)."""


def open_table(path: str | Path, field: str, split: str, text_bytes: int) -> Source:
    """Opens a CSV or Parquet table of places as one modality.

    Args:
        path: The table; see `read_geotable` for its coordinates.
        field: Where the samples are: a .npy file beside the table with one row per table row; a
            column of image files; a numeric column, or several joined by commas; or a text column.
        split: "train", "validation" or "all"; see `rows_of_split`.
        text_bytes: UTF-8 bytes kept of a text.

    Returns:
        A source of uint8 images (B, H, W, C), uint8 text (B, text_bytes), or numbers (B, ...):
        uint8, uint16 or float32. Image and .npy files are read when gathered.

    Raises:
        DataError: the table, the field or a sample is missing or unreadable.
        CoordinateError: a coordinate is missing or out of range.
    """
    path = Path(path)
    table, lonlat = read_geotable(path)
    rows = rows_of_split(lonlat, split, path)
    read = _reader(table, path, field, text_bytes)
    return TableSource(read, rows, lonlat[rows].astype(np.float32))


@dataclass(frozen=True)
class TableSource:
    """The examples in some rows of a table, at lonlat (N, 2), float32 degrees."""

    read: Reader
    rows: np.ndarray
    lonlat: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, indices: np.ndarray) -> Examples:
        """Reads examples by index."""
        return {"sample": self.read(self.rows[indices]), "lonlat": self.lonlat[indices]}


def _reader(table: pyarrow.Table, path: Path, field: str, text_bytes: int) -> Reader:
    """The reader for the kind of samples that `field` names."""
    if field not in table.column_names:
        if Path(field).suffix == ".npy":
            return _features(path, path.parent / field, table.num_rows)
        if "," in field:
            return _numbers(table, path, field, [name.strip() for name in field.split(",")])
    column = _column(table, path, field)
    if _is_numeric(column):
        return _numbers(table, path, field, [field])
    if not is_text(column):
        raise DataError(
            f"{path}: column {field!r} holds {column.type}; expected numbers, UTF-8 text or the "
            "names of image files"
        )
    texts = column.to_pylist()
    blank = np.array([not text.strip() for text in texts])
    if blank.any():
        raise DataError(f"{path}: column {field!r} has no text in row {int(np.argmax(blank))}")
    images = np.array([text.lower().endswith(IMAGE_SUFFIXES) for text in texts])
    if not images.any():
        return encode_text(texts, text_bytes).__getitem__
    if not images.all():
        row = int(np.argmin(images))
        raise DataError(
            f"{path}: column {field!r} names image files ({texts[int(np.argmax(images))]!r}), but "
            f"row {row} has {texts[row]!r}; expected {', '.join(IMAGE_SUFFIXES)}"
        )
    return ImageFiles(path, texts)


def _column(table: pyarrow.Table, path: Path, name: str) -> pyarrow.ChunkedArray:
    """A column without missing values; categories are replaced by their values."""
    import pyarrow

    if name not in table.column_names:
        raise DataError(
            f"{path} has no column {name!r}; it has {', '.join(table.column_names)} "
            "(a field may also be a .npy file beside the table)"
        )
    column = table.column(name)
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise DataError(f"{path}: column {name!r} has no value in row {row}")
    return column


def _is_numeric(column: pyarrow.ChunkedArray) -> bool:
    import pyarrow

    return pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)


def _numbers(table: pyarrow.Table, path: Path, field: str, names: list[str]) -> Reader:
    """K numeric columns as (N, K) float32."""
    columns = [_column(table, path, name) for name in names]
    for name, column in zip(names, columns, strict=True):
        if not _is_numeric(column):
            raise DataError(f"{path}: column {name!r} holds {column.type}; expected numbers")
    samples = np.stack([column.to_numpy() for column in columns], axis=1)
    return _float32(samples, np.arange(len(samples)), f"{path}: {field}").__getitem__


def _features(path: Path, file: Path, count: int) -> Reader:
    """A memory-mapped array file of `count` rows; a read touches only its own rows."""
    if not file.is_file():
        raise DataError(f"{path}: no such file: {file}")
    try:
        samples = open_npy(file)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if samples.dtype not in SMALL and samples.dtype.kind != "f":
        raise DataError(f"{path}: {file} holds {samples.dtype}; expected uint8, uint16 or floats")
    if samples.ndim < 2 or len(samples) != count or not samples.size:
        raise DataError(
            f"{path}: {file} has shape {samples.shape}; expected ({count}, ...), one sample for "
            f"each of the table's {count} rows, of one number or more"
        )

    def read(rows: np.ndarray) -> np.ndarray:
        batch = np.asarray(samples[rows])
        return batch if batch.dtype in SMALL else _float32(batch, rows, f"{path}: {file}")

    return read


def _float32(batch: np.ndarray, rows: np.ndarray, where: str) -> np.ndarray:
    """(B, ...) as float32; a DataError if a number is missing or too large."""
    with np.errstate(over="ignore"):
        batch = batch.astype(np.float32, copy=False)
    finite = np.isfinite(batch).reshape(len(batch), -1).all(axis=1)
    if not finite.all():
        row = int(rows[np.argmin(finite)])
        raise DataError(f"{where} is not a finite float32 in row {row}")
    return batch
