"""Where the rows of a table lie: finds its coordinates and checks them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from earth_embed.coordinates import check_lonlat
from earth_embed.csvfiles import typed
from earth_embed.errors import ConfigError, CoordinateError, DataError, require
from earth_embed.tablefiles import TableFile, is_text, open_table_file

if TYPE_CHECKING:
    import pyarrow

_LON = ("lon", "longitude", "lng", "long", "decimallongitude")  # the last is Darwin Core's
_LAT = ("lat", "latitude", "decimallatitude")

Find: TypeAlias = "Callable[[pyarrow.Table, int], np.ndarray]"
"""Reads some rows' places, unchecked: rows, the number of the first → (B, 2), NaN if missing."""


@dataclass(frozen=True)
class GeoTable:
    """A table on disk whose rows have places.

    Attributes:
        file: The table.
    """

    file: TableFile
    _columns: tuple[str, ...]
    _find: Find

    def batches(
        self, size: int, places_only: bool = False
    ) -> Iterator[tuple[pyarrow.Table, np.ndarray]]:
        """Reads rows and their places.

        Args:
            size: The most rows of a batch.
            places_only: Read no columns but those of the coordinates.

        Yields:
            B ≤ `size` rows, and their places (B, 2), float64 degrees. The place of a row without
            a coordinate is (NaN, NaN).

        Raises:
            DataError: the file is broken, or a geometry is no point.
            CoordinateError: a coordinate is no number or out of range. Rows are counted from 0.
        """
        first = 0
        for rows in self.file.batches(size, self._columns if places_only else None):
            try:
                places = self._find(rows, first)
                lacking = np.isnan(places[:, 0]) | np.isnan(places[:, 1])
                lonlat = check_lonlat(np.where(lacking[:, None], 0.0, places), first_row=first)
            except CoordinateError as error:
                raise CoordinateError(f"{self.file.path}: {error}") from error
            lonlat[lacking] = np.nan
            yield rows, lonlat
            first += rows.num_rows


def open_geotable(path: Path, crs: str | None = None) -> GeoTable:
    """Opens a table and finds its coordinates.

    They are the columns lon and lat (or longitude, lng, long, decimalLongitude; latitude,
    decimalLatitude; in any case), or else the point geometry of a GeoParquet, GeoPackage,
    FlatGeobuf or GeoJSON file, reprojected to WGS84.

    Args:
        path: The table; see `open_table_file`.
        crs: The CRS of columns x and y, such as "EPSG:2056", which are then read instead.

    Raises:
        DataError: the file is missing or unreadable, has repeated columns, no coordinates, or
            several columns that could be the same coordinate.
        ConfigError: there is no such CRS.
    """
    path = Path(path)
    file = open_table_file(path)
    names = file.schema.names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} has more than one column named {', '.join(repeated)}")
    expected = (("x",), ("y",)) if crs else (_LON, _LAT)
    pair = [[name for name in names if name.strip().lower() in known] for known in expected]
    if all(pair):
        for found in pair:
            if len(found) > 1:
                raise DataError(
                    f"{path}: expected one column that can be {found[0]}, found "
                    f"{' and '.join(found)}; rename or leave out all but one"
                )
        (x,), (y,) = pair
        find = _projected(x, y, crs) if crs else _plain(x, y)
        return GeoTable(file, (x, y), find)
    metadata = file.schema.metadata or {}
    if b"geo" in metadata and not crs:
        column, find = _geometry(path, metadata[b"geo"])
        return GeoTable(file, (column,), find)
    needed = "columns lon and lat (or longitude and latitude) in degrees, or a point geometry"
    if crs:
        needed = f"columns x and y in {crs}"
    elif {"x", "y"} <= {name.strip().lower() for name in names}:
        needed += "; or a CRS for its columns x and y"
    note = f"; {file.note}" if file.note else ""
    raise DataError(f"{path} needs {needed}; it has {', '.join(names)}{note}")


def read_geotable(path: Path, *, may_lack_places: bool = False) -> tuple[pyarrow.Table, np.ndarray]:
    """Reads a whole table and the places of its rows.

    Args:
        path: The table; see `open_geotable`. The types of a CSV file's columns are inferred.
        may_lack_places: Give rows without a coordinate the place (NaN, NaN) instead of raising.

    Returns:
        The table of N ≥ 1 rows, and its places (N, 2), float64 degrees. Messages count rows from 0.

    Raises:
        DataError: as `open_geotable`; or the table is broken or has no rows.
        CoordinateError: a coordinate is missing, no number, or out of range.
    """
    import pyarrow

    table = open_geotable(path)
    parts = list(table.batches(1 << 16))
    if not parts:
        raise DataError(f"{path} has no rows")
    lonlat = np.concatenate([places for _, places in parts])
    if not may_lack_places:
        try:
            check_lonlat(lonlat)
        except CoordinateError as error:
            raise CoordinateError(f"{path}: {error}") from error
    rows = [rows for rows, _ in parts]
    if not table.file.is_text:
        return pyarrow.concat_tables(rows), lonlat
    try:
        return typed(rows), lonlat
    except pyarrow.ArrowException as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _plain(x: str, y: str) -> Find:
    def find(rows: pyarrow.Table, first: int) -> np.ndarray:
        return np.stack([_numbers(rows.column(name), name, first) for name in (x, y)], axis=1)

    return find


def _projected(x: str, y: str, crs: str) -> Find:
    read = _plain(x, y)
    try:
        to_degrees = _to_degrees(crs)
    except Exception as error:  # pyproj's CRSError; pyproj may be missing
        if isinstance(error, ImportError):
            raise require("pyproj", "tables", "reprojecting a table") from error
        raise ConfigError(f"crs = {crs!r}: expected a CRS such as EPSG:2056; {error}") from error
    return lambda rows, first: to_degrees(read(rows, first), first)


def _to_degrees(crs: Any) -> Callable[[np.ndarray, int], np.ndarray]:
    """A function that reprojects (B, 2) points to WGS84; NaN stays NaN."""
    from pyproj import Transformer

    transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)

    def to_degrees(points: np.ndarray, first: int) -> np.ndarray:
        known = np.flatnonzero(~np.isnan(points).any(axis=1))
        degrees = np.full_like(points, np.nan)
        degrees[known] = np.stack(transformer.transform(*points[known].T), axis=1)
        outside = ~np.isfinite(degrees[known]).all(axis=1)
        if outside.any():
            row = int(known[np.argmax(outside)])
            raise CoordinateError(
                f"row {first + row} has x={points[row, 0]:g}, y={points[row, 1]:g}, which lies "
                f"outside of {crs}"
            )
        return degrees

    return to_degrees


def _numbers(column: pyarrow.ChunkedArray, name: str, first: int) -> np.ndarray:
    """A coordinate column as (B,) float64, NaN where it is empty."""
    import pyarrow
    from pyarrow import compute, csv

    kinds = pyarrow.types
    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    numeric = (kinds.is_integer, kinds.is_floating, kinds.is_decimal, kinds.is_null)
    if any(is_kind(column.type) for is_kind in numeric):
        return column.cast(pyarrow.float64(), safe=False).to_numpy()
    if not is_text(column):
        raise CoordinateError(f"{name} must hold degrees, found {column.type}")
    cells = compute.utf8_trim_whitespace(column.cast(pyarrow.string()).combine_chunks())
    empty = compute.is_in(cells, pyarrow.array(csv.ConvertOptions().null_values))
    cells = compute.if_else(empty, pyarrow.scalar(None, pyarrow.string()), cells)
    numbers = _parsed(cells)
    if numbers is None:
        good, bad = 0, len(cells)  # all before `good` can be read, not all before `bad`
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (good, middle) if _parsed(cells[good:middle]) is None else (middle, bad)
        text = column[good].as_py()
        hint = "; decimals are written with a point" if "," in text else ""
        raise CoordinateError(
            f"{name} must hold degrees as numbers; row {first + good} has {text!r}{hint}"
        )
    return numbers


def _parsed(cells: pyarrow.Array) -> np.ndarray | None:
    """Text as float64, NaN where null; None if a text is no finite number."""
    import pyarrow
    from pyarrow import compute

    try:
        numbers = cells.cast(pyarrow.float64())  # unlike Python, refuses 1_0
    except pyarrow.ArrowInvalid:
        return None
    if compute.all(compute.is_finite(numbers)).as_py() is False:  # a text such as inf
        return None
    return numbers.to_numpy(zero_copy_only=False)


def _geometry(path: Path, metadata: bytes) -> tuple[str, Find]:
    """The geometry column of a GeoParquet table, and a function that reads its points."""
    try:
        import shapely
        from pyproj import CRS
    except ImportError as error:
        raise require("geopandas", "tables", "reading a geometry") from error
    try:
        about = json.loads(metadata)
        column = str(about["primary_column"])
        encoding = about["columns"][column].get("encoding", "WKB").lower()
        crs = about["columns"][column].get("crs", "OGC:CRS84")
        if encoding not in ("wkb", "point"):
            raise ValueError(f"its encoding is {encoding}; expected WKB or point")
        # Without a CRS, degrees are assumed; the range check catches projected metres.
        text = crs if isinstance(crs, str) else json.dumps(crs)
        to_degrees = None if crs is None else _to_degrees(CRS.from_user_input(text))
    except Exception as error:  # whatever the metadata hold in place of what they should
        raise DataError(f"cannot read the geometry of {path}: {error!r}") from error

    def find(rows: pyarrow.Table, first: int) -> np.ndarray:
        cells = rows.column(column).combine_chunks()
        try:
            if encoding == "point":
                x, y = (cells.field(name).to_numpy(zero_copy_only=False) for name in "xy")
                x = np.where(cells.is_null().to_numpy(zero_copy_only=False), np.nan, x)
            else:
                shapes = shapely.from_wkb(cells.to_numpy(zero_copy_only=False))
                x, y = shapely.get_x(shapes), shapely.get_y(shapes)  # NaN for None
        except Exception as error:  # whatever stands there in place of points
            raise DataError(f"cannot read the geometry of {path}: {error}") from error
        if encoding != "point" and (other := shapely.get_type_id(shapes) > 0).any():
            row = int(np.argmax(other))
            raise DataError(
                f"{path}: expected Point geometries; that of row {first + row} is "
                f"{shapes[row].geom_type}"
            )
        points = np.stack([x, y], axis=1)
        return points if to_degrees is None else to_degrees(points, first)

    return column, find
