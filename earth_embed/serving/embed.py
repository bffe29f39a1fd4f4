"""A user's table with embeddings added: the same rows, in the same order."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from tqdm import tqdm

from earth_embed.errors import DataError
from earth_embed.files import atomic_output, check_suffix
from earth_embed.geotable import read_geotable
from earth_embed.pretrained.encoder import LocationEncoder

if TYPE_CHECKING:
    import pyarrow

OUTPUT_SUFFIXES = (".csv", ".parquet", ".pq")
"""File name suffixes of the output."""

Batches: TypeAlias = "Iterator[tuple[pyarrow.Table, np.ndarray]]"
"""Rows of the table, and their embeddings (B, D) float32."""


def embed_table(
    encoder: LocationEncoder, source: Path, output: Path, batch_size: int = 16_384
) -> int:
    """Writes a copy of a table with the embedding of each row's place.

    Parquet gets one column "embedding", a list of D float32, and keeps everything else, such as the
    geometry and CRS of GeoParquet. CSV gets columns e0 … e{D−1}. The whole input table but only one
    batch of embeddings is held in memory.

    Args:
        encoder: The location encoder.
        source: A CSV, JSON lines, Parquet or GeoParquet file; see `read_geotable`.
        output: The file to write, .parquet, .pq or .csv.
        batch_size: Rows embedded and written at a time.

    Returns:
        Number of rows written.

    Raises:
        DataError: the table is unreadable or empty, the output is the input or has another suffix,
            or a column cannot be written or has the name of an embedding column.
        CoordinateError: a coordinate is missing or out of range.
        EarthEmbedError: the output cannot be written.
    """
    source, output = Path(source), Path(output)
    as_csv = check_suffix(output, OUTPUT_SUFFIXES, "a table") == ".csv"
    if source.exists() and output.exists() and output.samefile(source):
        raise DataError(f"{output} is the input itself; name another output")
    table, lonlat = read_geotable(source, verbatim=as_csv)
    names = [f"e{i}" for i in range(encoder.dim)] if as_csv else ["embedding"]
    if taken := [name for name in names if name in table.column_names]:
        raise DataError(f"{source} already has a column {taken[0]!r}, the name of an embedding")
    with atomic_output(output, stream=as_csv) as temporary:
        batches = _batches(encoder, table, lonlat, batch_size)
        if as_csv:
            _write_csv(temporary, table, names, batches)
        else:
            _write_parquet(temporary, table, names[0], encoder.dim, batches)
    return len(lonlat)


def _batches(
    encoder: LocationEncoder, table: pyarrow.Table, lonlat: np.ndarray, batch_size: int
) -> Batches:
    with tqdm(total=len(lonlat), desc="embed", unit=" rows", unit_scale=True) as progress:
        for start in range(0, len(lonlat), batch_size):
            places = lonlat[start : start + batch_size]
            yield table.slice(start, batch_size), encoder(places)
            progress.update(len(places))


def _write_parquet(path: Path, table: pyarrow.Table, name: str, dim: int, batches: Batches) -> None:
    import pyarrow
    from pyarrow import parquet

    field = pyarrow.field(name, pyarrow.list_(pyarrow.float32(), dim))
    with parquet.ParquetWriter(path, table.schema.append(field)) as writer:
        for rows, embeddings in batches:
            column = pyarrow.FixedSizeListArray.from_arrays(embeddings.ravel(), dim)
            writer.write_table(rows.append_column(field, column))


def _write_csv(path: Path, table: pyarrow.Table, names: list[str], batches: Batches) -> None:
    import pyarrow

    types = pyarrow.types
    unfit = (types.is_nested, types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    for field in table.schema:
        if any(is_kind(field.type) for is_kind in unfit):
            raise DataError(
                f"column {field.name!r} ({field.type}) does not fit into CSV; write .parquet"
            )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*table.column_names, *names])
        for rows, embeddings in batches:
            # Arrow writes the shortest decimals that read back as the same float32.
            digits = pyarrow.array(embeddings.ravel()).cast(pyarrow.string())
            digits = digits.to_numpy(zero_copy_only=False).reshape(embeddings.shape)
            cells = zip(*(column.to_pylist() for column in rows.columns), strict=True)
            writer.writerows([*row, *e] for row, e in zip(cells, digits.tolist(), strict=True))
