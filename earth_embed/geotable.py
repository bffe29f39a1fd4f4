"""Reads tables of places (CSV, JSON lines, Parquet, GeoParquet) and checks their coordinates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earth_embed.coordinates import check_lonlat
from earth_embed.errors import CoordinateError, DataError, require

if TYPE_CHECKING:
    import pyarrow

TABLE_SUFFIXES = (".csv", ".jsonl", ".parquet", ".pq")
"""Suffixes of tables."""

_BLOCK = 1 << 24
"""Bytes of JSON lines parsed at a time. No line may be longer."""

_LONLAT_NAMES = (
    ("lon", "lat"),
    ("longitude", "latitude"),
    ("lng", "lat"),
    ("long", "lat"),
    ("decimallongitude", "decimallatitude"),  # Darwin Core
)


def read_geotable(
    path: Path, *, verbatim: bool = False, may_lack_places: bool = False
) -> tuple[pyarrow.Table, np.ndarray]:
    """Reads a table and the places of its rows.

    Places come from the columns lon and lat (or another pair of `_LONLAT_NAMES`, in any case), or
    else from the point geometry of a GeoParquet file, reprojected to WGS84.

    Args:
        path: A CSV (UTF-8, comma-separated, with a header), JSON lines (one object per line) or
            Parquet file.
        verbatim: Keep the cells of a CSV file as strings instead of inferring types, so that an
            identifier 007 stays 007.
        may_lack_places: Give rows without a coordinate the place (NaN, NaN) instead of raising.

    Returns:
        The table of N ≥ 1 rows, and its places (N, 2), float64 degrees. Messages count rows from 0.

    Raises:
        DataError: the file is missing, unreadable or empty, has repeated columns, or has no
            coordinates.
        CoordinateError: a coordinate is missing or out of range.
    """
    table = _read(Path(path), verbatim)
    names = table.column_names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has more than one column named {', '.join(repeated)}")
    if table.num_rows == 0:
        raise DataError(f"{path} has no rows")
    try:
        places = _places(table, path)
        lacking = np.isnan(places).any(axis=1) & may_lack_places
        lonlat = check_lonlat(np.where(lacking[:, None], 0.0, places))
    except CoordinateError as error:
        raise CoordinateError(f"{path}: {error}") from error
    lonlat[lacking] = np.nan
    return table, lonlat


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


def _read(path: Path, verbatim: bool) -> pyarrow.Table:
    try:
        import pyarrow
        from pyarrow import csv, parquet
        from pyarrow import json as json_lines
    except ImportError as error:
        raise require("pyarrow", "tables", "reading a table") from error
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(f"{path}: expected a table that ends in {', '.join(TABLE_SUFFIXES)}")
    if not path.is_file():
        raise DataError(f"no such table: {path}")
    try:
        if path.suffix.lower() == ".jsonl":
            return json_lines.read_json(path, json_lines.ReadOptions(block_size=_BLOCK))
        if path.suffix.lower() != ".csv":
            return parquet.ParquetFile(path).read()
        parsing = csv.ParseOptions(newlines_in_values=True)
        types = {}
        if verbatim:
            with csv.open_csv(path, parse_options=parsing) as reader:
                types = dict.fromkeys(reader.schema.names, pyarrow.string())
        conversion = csv.ConvertOptions(column_types=types)
        return csv.read_csv(path, parse_options=parsing, convert_options=conversion)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _places(table: pyarrow.Table, path: Path) -> np.ndarray:
    """(N, 2) unchecked coordinates."""
    by_name = {name.lower(): name for name in table.column_names}
    for pair in _LONLAT_NAMES:
        if all(name in by_name for name in pair):
            return np.stack([_degrees(table, by_name[name]) for name in pair], axis=1)
    metadata = table.schema.metadata or {}
    if b"geo" in metadata:
        return _geometry(path, metadata[b"geo"])
    raise DataError(
        f"{path} needs columns lon and lat (or longitude and latitude) in degrees, or a GeoParquet "
        f"point geometry; it has {', '.join(table.column_names)}"
    )


def _degrees(table: pyarrow.Table, name: str) -> np.ndarray:
    """A coordinate column as (N,) float64, NaN where it is empty."""
    import pyarrow

    column = table.column(name)
    if not is_text(column):
        try:
            return column.cast(pyarrow.float64()).to_numpy()
        except pyarrow.ArrowException as error:
            raise CoordinateError(f"{name} must hold degrees, found {column.type}") from error
    degrees = np.empty(len(column))
    for row, text in enumerate(column.to_pylist()):
        try:
            degrees[row] = float(text or "nan")
        except ValueError as error:
            raise CoordinateError(
                f"{name} must hold degrees as numbers; row {row} has {text!r}"
            ) from error
    return degrees


def _geometry(path: Path, metadata: bytes) -> np.ndarray:
    """The points of a GeoParquet file as (N, 2) float64 lon and lat."""
    try:
        import geopandas
    except ImportError as error:
        raise require("geopandas", "tables", "reading GeoParquet") from error
    try:
        column = json.loads(metadata)["primary_column"]
        points = geopandas.read_parquet(path, columns=[column]).geometry
    except Exception as error:  # pyarrow, geopandas, shapely and pyproj each raise their own
        raise DataError(f"cannot read the geometry of {path}: {error}") from error
    kinds = points.geom_type.fillna("missing").to_numpy()
    if (other := kinds != "Point").any():
        row = int(np.argmax(other))
        raise DataError(f"{path}: expected Point geometries; that of row {row} is {kinds[row]}")
    # Without a CRS, degrees are assumed; the range check catches projected metres.
    if points.crs is not None:
        points = points.to_crs("EPSG:4326")
    return np.stack([points.x.to_numpy(), points.y.to_numpy()], axis=1)
