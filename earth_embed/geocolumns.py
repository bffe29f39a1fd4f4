"""Places from the columns of a table: degrees, projected x and y, or a geometry of points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from earth_embed.errors import ConfigError, CoordinateError, DataError, require
from earth_embed.tablefiles import is_text

if TYPE_CHECKING:
    import pyarrow

Find: TypeAlias = "Callable[[pyarrow.Table, int], np.ndarray]"
"""Reads some rows' places, unchecked: rows, the number of the first → (B, 2), NaN if missing."""


def in_degrees(x: str, y: str) -> Find:
    """Reads two columns of numbers, or of text that holds numbers, in degrees."""

    def find(rows: pyarrow.Table, first: int) -> np.ndarray:
        return np.stack([_numbers(rows.column(name), name, first) for name in (x, y)], axis=1)

    return find


def projected(x: str, y: str, crs: str) -> Find:
    """Reads two columns of numbers in a CRS.

    Raises:
        ConfigError: there is no such CRS.
    """
    read = in_degrees(x, y)
    try:
        to_degrees = _to_degrees(crs)
    except ImportError as error:
        raise require("pyproj", "tables", "reprojecting a table") from error
    except Exception as error:  # pyproj's CRSError, or a TypeError at what is no text
        raise ConfigError(f"crs = {crs!r}: expected a CRS such as EPSG:2056; {error}") from error
    return lambda rows, first: to_degrees(read(rows, first), first)


def _to_degrees(name: str) -> Callable[[np.ndarray, int], np.ndarray]:
    """A function that reprojects (B, 2) points to WGS84; NaN stays NaN."""
    from pyproj import CRS, Transformer

    crs = CRS.from_user_input(name)
    if not (crs.is_projected or crs.is_geographic):  # PROJ would leave x and y as they are
        raise ValueError(f"found a CRS that is not horizontal ({crs.type_name})")
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
                f"outside of {crs.name}"
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


def of_points(path: Path, metadata: bytes) -> tuple[str, Find]:
    """Reads the points of a GeoParquet table.

    Args:
        path: The table, for messages.
        metadata: What its schema says under "geo".

    Returns:
        The geometry's column, and the function that reads it.

    Raises:
        DataError: the metadata are broken.
    """
    try:
        import shapely
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
        to_degrees = None if crs is None else _to_degrees(text)
    except Exception as error:  # whatever the metadata hold in place of what they should
        raise DataError(f"cannot read the geometry of {path}: {error!r}") from error

    def find(rows: pyarrow.Table, first: int) -> np.ndarray:
        try:
            cells = rows.column(column).combine_chunks()
            if encoding == "point":
                x, y = (cells.field(name).to_numpy(zero_copy_only=False) for name in "xy")
                x = np.where(cells.is_null().to_numpy(zero_copy_only=False), np.nan, x)
            else:
                shapes = shapely.from_wkb(cells.to_numpy(zero_copy_only=False))
                shapes[shapely.is_empty(shapes)] = None  # an empty point is a missing one
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
