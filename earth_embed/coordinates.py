"""Coordinates as users give them: (lon, lat) in degrees WGS84, checked and wrapped."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import ArrayLike

from earth_embed.errors import CoordinateError

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth in kilometres (IUGG R₁)."""


def check_lonlat(lon: ArrayLike, lat: ArrayLike | None = None, *, first_row: int = 0) -> np.ndarray:
    """Checks coordinates and returns them as one array.

    Longitudes 0..360 are accepted and wrapped to [−180, 180]. Nothing is clipped or swapped.

    Args:
        lon: Longitudes in degrees, shape (N,) or scalar; without `lat`, an (N, 2) array of lon and
            lat.
        lat: Latitudes in degrees, the shape of `lon`.
        first_row: What messages call the first of these, if they are part of a table.

    Returns:
        float64 array of shape (N, 2): lon in [−180, 180] and lat in [−90, 90].

    Raises:
        CoordinateError: a value is missing (also masked, NA or null) or out of range, or the shapes
            differ. The message names the first bad row, and says if the columns look swapped.
    """
    try:
        lonlat = _stack(lon, lat)
    except (TypeError, ValueError) as error:
        if isinstance(error, CoordinateError):
            raise
        raise CoordinateError(f"lon and lat must be numbers in degrees: {error}") from error
    lon_column, lat_column = lonlat[:, 0], lonlat[:, 1]
    missing = ~np.isfinite(lonlat).all(axis=1)
    if missing.any():
        raise CoordinateError(
            f"lon and lat must be finite numbers in degrees; {_first(missing, first_row)} has "
            f"lon={lon_column[missing][0]}, lat={lat_column[missing][0]}"
        )
    bad_lat = np.abs(lat_column) > 90
    if bad_lat.any():
        swapped = bool((np.abs(lon_column) <= 90).all())
        hint = (
            " Every lon lies within ±90: are lon and lat swapped? The order is (lon, lat)."
            if swapped
            else ""
        )
        raise CoordinateError(
            f"lat must lie in [-90, 90] degrees; {_first(bad_lat, first_row)} has "
            f"lat={lat_column[bad_lat][0]:g} (lon={lon_column[bad_lat][0]:g}).{hint}"
        )
    bad_lon = (lon_column < -180) | (lon_column > 360)
    if bad_lon.any():
        raise CoordinateError(
            "lon must lie in [-180, 180] (or 0..360) degrees; "
            f"{_first(bad_lon, first_row)} has lon={lon_column[bad_lon][0]:g}"
        )
    lonlat[:, 0] = np.where(lon_column > 180, lon_column - 360, lon_column)
    return lonlat


def unit_vector(lonlat: np.ndarray) -> np.ndarray:
    """Places (N, 2), degrees, as points (cos φ cos λ, cos φ sin λ, sin φ): (N, 3) float64."""
    lon, lat = np.radians(np.asarray(lonlat, np.float64)).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def lonlat_of(vectors: np.ndarray) -> np.ndarray:
    """The places (N, 2), degrees, in the direction of vectors (N, 3); exact at the poles too."""
    x, y, z = vectors.T
    return np.degrees(np.stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))], axis=-1))


def equal_area(count: int) -> np.ndarray:
    """A Fibonacci lattice: (count, 2), degrees; each point represents the same area."""
    i = np.arange(count)
    lat = np.degrees(np.arcsin((2 * i + 1) / count - 1))
    golden = (1 + 5**0.5) / 2
    return np.stack([360 * (i / golden % 1) - 180, lat], axis=1)


def _stack(lon: ArrayLike, lat: ArrayLike | None) -> np.ndarray:
    if lat is None:
        lonlat = np.atleast_2d(_numbers(lon))
        if lonlat.ndim != 2 or lonlat.shape[1] != 2:
            raise CoordinateError(
                f"expected an (N, 2) array of (lon, lat) in degrees, found shape {np.shape(lon)}"
            )
        return lonlat
    lon_array, lat_array = np.atleast_1d(_numbers(lon)), np.atleast_1d(_numbers(lat))
    if lon_array.shape != lat_array.shape or lon_array.ndim != 1:
        raise CoordinateError(
            "lon and lat must have one shape (N,), found "
            f"lon {np.shape(lon)} and lat {np.shape(lat)}"
        )
    return np.stack([lon_array, lat_array], axis=1)


def _numbers(values: ArrayLike) -> np.ndarray:
    """A new float64 array, NaN where a value is masked, pandas' NA or null."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    parts = values if isinstance(values, list | tuple) else ()
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):  # np.array drops the mask
        return np.stack([_numbers(part) for part in parts])
    pandas = sys.modules.get("pandas")  # only where it is loaded can a value be its NA
    if pandas is not None and (cells := np.asarray(values)).dtype == object:
        return np.where(pandas.isna(cells), np.nan, cells).astype(np.float64)
    return np.array(values, np.float64)


def _first(bad: np.ndarray, first_row: int) -> str:
    """Names the first bad row and the number of bad rows."""
    rows = f"{bad.size} from row {first_row}" if first_row else f"{bad.size}"
    row = first_row + int(np.argmax(bad))
    return f"row {row} (the first of {int(bad.sum())} such in {rows})"


def block_of(lonlat: np.ndarray, degrees: float) -> np.ndarray:
    """The block, `degrees` wide, of a regular lon–lat grid that holds each point (N, 2), degrees.

    Returns:
        (N,) int64 identifiers, the same on every machine.
    """
    columns = int(np.ceil(360 / degrees))
    column = np.floor((lonlat[:, 0] + 180) / degrees).astype(np.int64) % columns
    rows = int(np.ceil(180 / degrees))
    row = np.minimum(np.floor((lonlat[:, 1] + 90) / degrees).astype(np.int64), rows - 1)
    return row * columns + column
