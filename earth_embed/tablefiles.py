"""Tables in the formats that people have, each read in batches of Arrow rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earth_embed.csvfiles import SEPARATORS, CsvFile, typed, widest
from earth_embed.errors import DataError, require
from earth_embed.vectorfiles import check_vector_file

if TYPE_CHECKING:
    import pyarrow

TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet", ".pq", ".tsv", ".txt", ".gpkg", ".fgb", ".geojson")
"""Suffixes of tables."""

_BLOCK = 1 << 24
"""Bytes of JSON lines parsed at a time. No line may be longer."""


@dataclass(frozen=True)
class TableFile:
    """A table on disk.

    Attributes:
        path: The file.
        schema: Names and types of its columns. Those of CSV are all text until `with_types`.
        note: How it was read and its first line, for messages; "" where nothing is guessed.
        is_text: Whether it is CSV.
    """

    path: Path
    schema: pyarrow.Schema
    note: str
    is_text: bool
    _read: Callable[[int, Sequence[str] | None], Iterator[pyarrow.Table]]

    def batches(self, size: int, columns: Sequence[str] | None = None) -> Iterator[pyarrow.Table]:
        """Reads the rows from the first to the last, up to `size` at a time.

        CSV and Parquet are read as the batches are taken; others are in memory already.

        Args:
            size: The most rows of a batch.
            columns: The columns to read; None for all.

        Raises:
            DataError: the file is broken; a CSV file's line is named.
        """
        import pyarrow

        try:
            for rows in self._read(size, columns):
                rows.validate(full=True)  # text is UTF-8, say: Arrow reads what it is given
                yield rows
        except (OSError, pyarrow.ArrowException) as error:
            raise DataError(f"cannot read {self.path}: {error}") from error

    def typed(
        self, batches: Iterable[pyarrow.Table], types: dict[str, Any] | None = None
    ) -> pyarrow.Table:
        """Rows of text columns as rows of the given types, or else of those that they look like.

        Raises:
            DataError: a cell does not have its type: the file has changed.
        """
        import pyarrow

        try:
            return typed(batches, types)
        except pyarrow.ArrowException as error:
            raise DataError(f"cannot read {self.path}: {error}") from error

    def infer(self, types: dict[str, Any], rows: pyarrow.Table) -> dict[str, Any]:
        """The types of text columns, from those of the rows before ({} at first) and more rows."""
        found = self.typed([rows]).schema
        return {each.name: widest(types.get(each.name, each.type), each.type) for each in found}


def open_table_file(path: Path) -> TableFile:
    """Opens a table by its suffix.

    Args:
        path: CSV (separated by commas, semicolons or tabs), JSON lines (one object per line),
            Parquet, GeoParquet; or a GeoPackage, FlatGeobuf or GeoJSON file of one layer, which
            is read as if it were GeoParquet.

    Raises:
        DataError: there is no such file, it is unreadable, or has several layers.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise require("pyarrow", "tables", "reading a table") from error
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise DataError(f"{path}: expected a table that ends in {', '.join(TABLE_SUFFIXES)}")
    if not path.exists():
        raise DataError(f"no such table: {path}")
    if not path.is_file():
        raise DataError(f"{path}: expected a file, which can be read twice; found a pipe or folder")
    try:
        if suffix in (".csv", ".tsv", ".txt"):
            return _open_csv(path)
        if suffix in (".parquet", ".pq"):
            file = _open_parquet(path)
        else:
            file = _in_memory(path, _json_lines(path) if suffix == ".jsonl" else _points(path))
        _ = file.schema.names  # decoded here, not before
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return file


def file_names(table: pyarrow.Table, path: Path, name: str) -> list[str]:
    """The file name in each row of a column.

    Args:
        table: The table.
        path: Where it was read from, for messages.
        name: The column, in any case.

    Raises:
        DataError: there is no such text column, or a row is empty.
    """
    columns = [column for column in table.column_names if column.lower() == name.lower()]
    if not columns:
        raise DataError(
            f"{path} has no column {name!r} of file names; it has {', '.join(table.column_names)}"
        )
    column = table.column(columns[0])
    names: list[Any] = column.to_pylist() if is_text(column) else [None]
    if blank := [row for row, file in enumerate(names) if not file]:
        raise DataError(
            f"{path}: column {name!r} must name a file in every row; row {blank[0]} has none"
        )
    return names


def is_text(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column holds UTF-8 strings."""
    import pyarrow

    return pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)


def _open_csv(path: Path) -> TableFile:
    import pyarrow

    file = CsvFile.open(path)

    def read(size: int, columns: Sequence[str] | None) -> Iterator[pyarrow.Table]:
        for rows in file.batches(size):
            yield rows if columns is None else rows.select(columns)

    note = f"read with {SEPARATORS[file.separator]} between its columns; "
    note += f"its first row is {file.first!r}"
    schema = pyarrow.schema([(name, pyarrow.string()) for name in file.names])
    return TableFile(path, schema, note, True, read)


def _open_parquet(path: Path) -> TableFile:
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow

    def read(size: int, columns: Sequence[str] | None) -> Iterator[pyarrow.Table]:
        # Arrow's pre-buffer would keep all that was read until the end.
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            for batch in file.iter_batches(size, columns=columns):
                rows = pyarrow.Table.from_batches([batch])
                yield rows.replace_schema_metadata(schema.metadata)

    return TableFile(path, schema, "", False, read)


def _in_memory(path: Path, table: pyarrow.Table) -> TableFile:
    def read(size: int, columns: Sequence[str] | None) -> Iterator[pyarrow.Table]:
        chosen = table if columns is None else table.select(columns)
        for start in range(0, table.num_rows, size):
            yield chosen.slice(start, size)

    return TableFile(path, table.schema, "", False, read)


def _json_lines(path: Path) -> pyarrow.Table:
    from pyarrow import json

    return json.read_json(path, json.ReadOptions(block_size=_BLOCK))


def _points(path: Path) -> pyarrow.Table:
    """The one layer of a file that GDAL reads, as GeoParquet holds it."""
    try:
        import geopandas
        import pyarrow
        import pyogrio
        from pyarrow import parquet
    except ImportError as error:
        raise require("geopandas", "tables", f"reading {path.suffix}") from error
    check_vector_file(path)
    try:
        layers = [str(layer) for layer in pyogrio.list_layers(path)[:, 0]]
        if len(layers) != 1:
            raise DataError(
                f"{path}: expected one layer, found {len(layers)}: {', '.join(layers)}; "
                "write the one of your points into a file of its own"
            )
        frame = geopandas.read_file(path)
        if not isinstance(frame, geopandas.GeoDataFrame):  # a table without geometry
            return pyarrow.Table.from_pandas(frame, preserve_index=False)
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        return parquet.read_table(buffer)
    except DataError:
        raise
    except Exception as error:  # GDAL, geopandas, shapely and pyarrow each raise their own
        raise DataError(f"cannot read {path}: {error}") from error
