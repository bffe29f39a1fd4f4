"""A user's table with embeddings added: the same rows, in the same order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from earth_embed.csvfiles import joined, quoted
from earth_embed.errors import ConfigError, CoordinateError, DataError, FaultWarning
from earth_embed.files import atomic_output, check_suffix
from earth_embed.geotable import GeoTable, open_geotable
from earth_embed.pretrained.encoder import LocationEncoder
from earth_embed.progress import bar, phase

if TYPE_CHECKING:
    import pyarrow

OUTPUT_SUFFIXES = (".csv", ".parquet", ".pq")
"""File name suffixes of the output."""

Missing: TypeAlias = Literal["error", "skip", "keep"]
"""What to do with a row without a coordinate: refuse the table, leave the row out, or keep it with
an empty embedding."""

Batches: TypeAlias = "Iterator[tuple[pyarrow.Table, np.ndarray, np.ndarray]]"
"""Rows of the table, their embeddings (B, D) float32, and which rows have none (B,) bool."""

_LINES = 2048
"""Rows that are written as text at a time: few enough for Arrow's 2 GiB in one column."""


def embed_table(
    encoder: LocationEncoder,
    source: Path,
    output: Path,
    batch_size: int = 16_384,
    *,
    missing: Missing = "error",
    crs: str | None = None,
) -> int:
    """Writes a copy of a table with the embedding of each row's place.

    Parquet gets one column "embedding", a list of D float32, and keeps everything else, such as the
    geometry and CRS of GeoParquet. CSV gets columns e0 … e{D−1}. CSV and Parquet are read twice,
    once to check every row before the work, and only a batch of rows is held in memory; other
    formats are held as a whole.

    Args:
        encoder: The location encoder.
        source: The table; see `open_table_file` for formats and `open_geotable` for coordinates.
        output: The file to write, .parquet, .pq or .csv (with commas).
        batch_size: Rows embedded and written at a time.
        missing: What to do with rows without a coordinate: "error", "skip" (leave them out) or
            "keep" (with an embedding that is null in Parquet and empty cells in CSV). A
            `FaultWarning` counts those left out or kept.
        crs: The CRS of columns x and y, such as "EPSG:2056", to read in place of lon and lat.

    Returns:
        Number of rows written.

    Raises:
        DataError: the table is unreadable, broken or empty, or changed meanwhile; the output is the
            input or has another suffix; a column cannot be written or has the name of an embedding
            column.
        CoordinateError: a coordinate is missing (unless `missing` allows it), no number, or out of
            range.
        ConfigError: `missing`, `crs` or `batch_size` is none of those possible.
        EarthEmbedError: the output cannot be written.
    """
    source, output = Path(source), Path(output)
    if missing not in get_args(Missing):
        raise ConfigError(f"missing = {missing!r}: expected one of {', '.join(get_args(Missing))}")
    if batch_size < 1:
        raise ConfigError(f"batch_size = {batch_size}: expected 1 or more")
    as_csv = check_suffix(output, OUTPUT_SUFFIXES, "a table") == ".csv"
    if source.exists() and output.exists() and output.samefile(source):
        raise DataError(f"{output} is the input itself; name another output")
    table = open_geotable(source, crs)
    names = [f"e{i}" for i in range(encoder.dim)] if as_csv else ["embedding"]
    if taken := [name for name in names if name in table.file.schema.names]:
        raise DataError(f"{source} already has a column {taken[0]!r}, the name of an embedding")
    if as_csv:
        _check_fits_csv(table.file.schema)
    with atomic_output(output, stream=as_csv) as temporary:
        survey = _survey(table, not as_csv, missing)
        batches = _batches(encoder, table, survey, batch_size, missing)
        if as_csv:
            _write_csv(temporary, table.file.schema, names, batches)
        else:
            _write_parquet(temporary, survey.schema, names[0], encoder.dim, batches)
    if survey.lacking:
        done = "left out" if missing == "skip" else "kept with an empty embedding"
        warnings.warn(
            f"{source}: {survey.lacking:,} of {survey.rows:,} rows have no coordinate and are "
            f"{done}; the first is row {survey.first_lacking}",
            FaultWarning,
            stacklevel=2,
        )
    return survey.rows - (survey.lacking if missing == "skip" else 0)


@dataclass(frozen=True)
class _Survey:
    """What one pass over the table found."""

    schema: Any
    types: dict[str, Any] | None  # of the columns of CSV, where they are to be typed
    rows: int
    lacking: int
    first_lacking: int


def _check_fits_csv(schema: pyarrow.Schema) -> None:
    from pyarrow import types

    unfit = (types.is_nested, types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    for field in schema:
        if any(is_kind(field.type) for is_kind in unfit):
            raise DataError(
                f"column {field.name!r} ({field.type}) does not fit into CSV; write .parquet"
            )


def _survey(table: GeoTable, with_types: bool, missing: Missing) -> _Survey:
    """Reads the whole table once: checks every place, counts rows and infers types."""
    import pyarrow

    file = table.file
    types: dict[str, Any] | None = {} if file.is_text and with_types else None
    rows, lacking, first = 0, 0, -1
    with phase("checking every row of the table"):
        for part, lonlat in table.batches(1 << 16, () if types is None else None):
            without = np.isnan(lonlat[:, 0])
            if without.any() and not lacking:
                first = rows + int(np.argmax(without))
                if missing == "error":
                    raise CoordinateError(
                        f"{file.path}: lon and lat must be finite numbers in degrees; row {first} "
                        "is missing one. --missing skip leaves such rows out, --missing keep gives "
                        "them no embedding"
                    )
            lacking += int(without.sum())
            rows += len(lonlat)
            if types is not None:
                types = file.infer(types, part)
    if not rows:
        raise DataError(f"{file.path} has no rows")
    schema = pyarrow.schema(types.items()) if types else file.schema
    return _Survey(schema, types, rows, lacking, first)


def _batches(
    encoder: LocationEncoder, table: GeoTable, survey: _Survey, batch_size: int, missing: Missing
) -> Batches:
    count, lacking = 0, 0
    with bar(total=survey.rows, desc="embed", unit=" rows", unit_scale=True) as progress:
        for rows, lonlat in table.batches(batch_size):
            without = np.isnan(lonlat[:, 0])
            count, lacking = count + len(without), lacking + int(without.sum())
            embeddings = np.zeros((len(lonlat), encoder.dim), np.float32)
            if not without.all():
                embeddings[~without] = encoder(lonlat[~without])
            if survey.types:
                rows = table.file.typed([rows], survey.types)
            if missing == "skip":
                rows, embeddings = rows.filter(~without), embeddings[~without]
                without = without[~without]
            if len(embeddings):
                yield rows, embeddings, without
            progress.update(len(lonlat))
    if (count, lacking) != (survey.rows, survey.lacking):
        raise DataError(
            f"{table.file.path} changed while it was read: expected {survey.rows:,} rows, "
            f"{survey.lacking:,} of them without a coordinate; found {count:,} and {lacking:,}"
        )


def _write_parquet(
    path: Path, schema: pyarrow.Schema, name: str, dim: int, batches: Batches
) -> None:
    import pyarrow
    from pyarrow import parquet

    field = pyarrow.field(name, pyarrow.list_(pyarrow.float32(), dim))
    with parquet.ParquetWriter(path, schema.append(field)) as writer:
        for rows, embeddings, without in batches:
            mask = pyarrow.array(without) if without.any() else None
            column = pyarrow.FixedSizeListArray.from_arrays(embeddings.ravel(), dim, mask=mask)
            writer.write_table(rows.append_column(field, column))


def _write_csv(path: Path, schema: pyarrow.Schema, names: list[str], batches: Batches) -> None:
    import pyarrow

    header = [pyarrow.array([name]) for name in (*schema.names, *names)]
    with path.open("wb") as file, ThreadPoolExecutor() as threads:
        file.write(joined([quoted(cell) for cell in header]))
        for rows, embeddings, without in batches:
            starts = range(0, len(embeddings), _LINES)
            parts = [
                (rows.slice(i, _LINES), embeddings[i : i + _LINES], without[i : i + _LINES])
                for i in starts
            ]
            for lines in threads.map(_lines, *zip(*parts, strict=True)):
                file.write(lines)


def _lines(rows: pyarrow.Table, embeddings: np.ndarray, without: np.ndarray) -> memoryview:
    """Rows as lines of CSV."""
    import pyarrow
    from pyarrow import compute

    count, dim = embeddings.shape
    # Arrow writes the shortest decimals that read back as the same float32.
    digits = pyarrow.array(embeddings.ravel()).cast(pyarrow.string())
    offsets = pyarrow.array(np.arange(0, count * dim + 1, dim, dtype=np.int32))
    numbers = compute.binary_join(pyarrow.ListArray.from_arrays(offsets, digits), ",")
    if without.any():
        numbers = compute.if_else(pyarrow.array(without), "," * (dim - 1), numbers)
    return joined([*(quoted(_text(column)) for column in rows.columns), numbers])


def _text(column: pyarrow.ChunkedArray) -> pyarrow.Array:
    """Cells as Python's `csv.writer` writes them."""
    import pyarrow
    from pyarrow import compute

    if pyarrow.types.is_string(column.type):
        return compute.fill_null(column.combine_chunks(), "")
    cells = ["" if cell is None else str(cell) for cell in column.to_pylist()]
    return pyarrow.array(cells, pyarrow.string())
