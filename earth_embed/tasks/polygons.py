"""The polygon of a user's file that contains each place, in any CRS and format that GDAL reads."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from earth_embed.errors import DataError, require
from earth_embed.vectorfiles import BEGINNINGS, check_vector_file

POLYGON_SUFFIXES = tuple(BEGINNINGS)

IN_NO_POLYGON = "in no polygon"
"""Reason why a place has no value."""


def read_polygons(path: Path, column: str) -> Any:
    """Reads the polygons of a file with one column.

    Args:
        path: A vector file.
        column: A column, or LAYER/COLUMN if several layers have it.

    Returns:
        A GeoDataFrame of the column and the geometry, in the file's CRS.

    Raises:
        DataError: the file is unreadable, holds no polygons, or `column` does not name exactly one
            column of one layer.
    """
    try:
        import geopandas
        import pyogrio
    except ImportError as error:
        raise require("geopandas", "tables", "a task from polygons") from error
    if not path.is_file():
        raise DataError(f"no such file of polygons: {path}")
    check_vector_file(path)
    layer, _, name = column.rpartition("/")
    try:
        columns = {
            str(found): [str(field) for field in pyogrio.read_info(path, layer=found)["fields"]]
            for found in pyogrio.list_layers(path)[:, 0]
        }
    except pyogrio.errors.DataSourceError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    having = [found for found, fields in columns.items() if name in fields]
    if layer:
        having = [found for found in having if found == layer]
    if len(having) != 1:
        layers = "; ".join(f"{found}: {', '.join(fields)}" for found, fields in columns.items())
        expected = "LAYER/COLUMN, one of" if having else "a column of"
        raise DataError(f"{path}: expected {expected} {layers}; found {column!r}")
    try:
        polygons = geopandas.read_file(path, layer=having[0], columns=[name])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    kinds = sorted(set(polygons.geom_type.dropna()) - {"Polygon", "MultiPolygon"})
    if kinds or polygons.geometry.isna().all():
        raise DataError(f"{path}: expected polygons, found {', '.join(kinds) or 'no geometry'}")
    return polygons


def polygon_of(polygons: Any, lonlat: np.ndarray) -> np.ndarray:
    """Finds the polygon that contains each place; its border belongs to it.

    Edges are straight in the polygons' CRS, so the places are projected to it. In degrees, places
    are looked up modulo 360°: it makes no difference whether a polygon is cut at the antimeridian,
    extends beyond 180°, or had its cut stitched (as in TopoJSON).

    Args:
        polygons: GeoDataFrame; without a CRS, in degrees.
        lonlat: (N, 2), degrees.

    Returns:
        (N,) int64 row of the first such polygon, or −1.
    """
    import pyproj
    import shapely

    parts, owner = shapely.get_parts(polygons.geometry.to_numpy(), return_index=True)
    x, y = lonlat.T
    if polygons.crs is not None:
        x, y = pyproj.Transformer.from_crs("EPSG:4326", polygons.crs, always_xy=True).transform(
            x, y
        )
    degrees = polygons.crs is None or polygons.crs.is_geographic
    turns = np.array([0, 360, -360] if degrees else [0])
    parts = _unwound(parts) if degrees else parts
    shown = np.flatnonzero(np.isfinite(x) & np.isfinite(y))  # a projection may not cover all places
    shifted = shapely.points(np.add.outer(turns, x[shown]).ravel(), np.tile(y[shown], len(turns)))
    # The tree holds the points, not the polygons: a polygon may have a million corners, and is then
    # prepared once and queried for all of its points.
    part, point = shapely.STRtree(shifted).query(parts, predicate="covers")
    first = np.full(len(lonlat), len(polygons))
    np.minimum.at(first, shown[point % max(len(shown), 1)], owner[part])
    return np.where(first == len(polygons), -1, first)


def _unwound(parts: np.ndarray) -> np.ndarray:
    """Polygons in degrees, with edges that jump from 180° to −180° taken the short way round.

    Only polygons that make no sense otherwise are changed: wider than 180° and self-crossing. A
    point is then inside if an odd number of rings enclose it, since a continent around a pole may
    be written as a ring at the pole with the coast as a hole.
    """
    import shapely

    west, _, east, _ = shapely.bounds(parts).T
    unwound = parts.copy()
    for i in np.flatnonzero(east - west > 180):
        if not shapely.is_valid(parts[i]):
            rings = [_unwound_ring(shapely.get_coordinates(r)) for r in shapely.get_rings(parts[i])]
            for ring in rings:  # shift to the same turn as the first ring
                ring[:, 0] -= 360 * np.floor((ring[:, 0].min() - rings[0][:, 0].min() + 1) / 360)
            filled = [shapely.make_valid(shapely.Polygon(ring)) for ring in rings]
            unwound[i] = functools.reduce(shapely.symmetric_difference, filled)
    return unwound


def _unwound_ring(ring: np.ndarray) -> np.ndarray:
    """(M, 2) corners with steps of at most 180°; a ring around a pole is closed over the pole."""
    lon = np.unwrap(ring[:, 0], period=360)
    turned = np.stack([lon, ring[:, 1]], axis=1)
    if abs(lon[-1] - lon[0]) < 180:
        return turned
    pole = np.copysign(90, ring[:, 1].mean())
    return np.concatenate([turned, [[lon[-1], pole], [lon[0], pole]], turned[:1]])
