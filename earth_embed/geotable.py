"""Tables of places: finds the coordinates of a table's rows and checks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earth_embed.coordinates import check_lonlat
from earth_embed.errors import CoordinateError, DataError
from earth_embed.geocolumns import Find, in_degrees, of_points, projected
from earth_embed.tablefiles import TableFile, open_table_file

if TYPE_CHECKING:
    import pyarrow

_LON = ("lon", "longitude", "lng", "long", "decimallongitude")  # the last is Darwin Core's
_LAT = ("lat", "latitude", "decimallatitude")


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
        self, size: int, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[pyarrow.Table, np.ndarray]]:
        """Reads rows and their places.

        Args:
            size: The most rows of a batch.
            columns: What to read besides the coordinates; None for all.

        Yields:
            B ≤ `size` rows, and their places (B, 2), float64 degrees. The place of a row without
            a coordinate is (NaN, NaN).

        Raises:
            DataError: the file is broken, or a geometry is no point.
            CoordinateError: a coordinate is no number or out of range. Rows are counted from 0.
        """
        first = 0
        names = None if columns is None else [*dict.fromkeys((*self._columns, *columns))]
        for rows in self.file.batches(size, names):
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
        raise DataError(f"{path} has more than one column named {', '.join(map(repr, repeated))}")
    expected = (_LON, _LAT) if crs is None else (("x",), ("y",))
    pair = [[name for name in names if name.strip().lower() in known] for known in expected]
    if all(pair):
        for found in pair:
            if len(found) > 1:
                raise DataError(
                    f"{path}: expected one column that can be {found[0]}, found "
                    f"{' and '.join(found)}; rename or leave out all but one"
                )
        (x,), (y,) = pair
        find = in_degrees(x, y) if crs is None else projected(x, y, crs)
        return GeoTable(file, (x, y), find)
    metadata = file.schema.metadata or {}
    if b"geo" in metadata and crs is None:
        column, find = of_points(path, metadata[b"geo"])
        return GeoTable(file, (column,), find)
    needed = "columns lon and lat (or longitude and latitude) in degrees, or a point geometry"
    if crs is not None:
        needed = f"columns x and y in {crs}"
    elif {"x", "y"} <= {name.strip().lower() for name in names}:
        needed += "; or, in embed, --crs with the CRS of its columns x and y"
    note = f"; {file.note}" if file.note else ""
    raise DataError(f"{path} needs {needed}; it has {', '.join(names)}{note}")


def read_geotable(
    path: Path, columns: Sequence[str] | None = None, *, may_lack_places: bool = False
) -> tuple[pyarrow.Table, np.ndarray]:
    """Reads the rows of a table, all of them, and their places.

    Args:
        path: The table; see `open_geotable`. The types of a CSV file's columns are inferred.
        columns: What to read besides the coordinates; None for all.
        may_lack_places: Give rows without a coordinate the place (NaN, NaN) instead of raising.

    Returns:
        The table of N ≥ 1 rows, and its places (N, 2), float64 degrees. Messages count rows from 0.

    Raises:
        DataError: as `open_geotable`; or the table is broken, has no rows or lacks a column.
        CoordinateError: a coordinate is missing, no number, or out of range.
    """
    import pyarrow

    table = open_geotable(path)
    names = table.file.schema.names
    if missing := [name for name in columns or () if name not in names]:
        raise DataError(f"{path} has no column {missing[0]!r}; it has {', '.join(names)}")
    parts = list(table.batches(1 << 16, columns))
    if not parts:
        raise DataError(f"{path} has no rows")
    lonlat = np.concatenate([places for _, places in parts])
    if not may_lack_places:
        try:
            check_lonlat(lonlat)
        except CoordinateError as error:
            raise CoordinateError(f"{path}: {error}") from error
    rows = [rows for rows, _ in parts]
    return table.file.typed(rows) if table.file.is_text else pyarrow.concat_tables(rows), lonlat
