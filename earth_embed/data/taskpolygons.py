"""What a user's polygons say of each place, in any CRS and format that GDAL reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from earth_embed.errors import DataError, require

POLYGON_SUFFIXES = (".gpkg", ".shp", ".geojson", ".json", ".topojson", ".fgb")
"""What the name of a file of polygons may end in."""

IN_NO_POLYGON = "in no polygon"
"""Why a place has no polygon."""


def read_polygons(path: Path, column: str) -> Any:
    """Reads the polygons and one column of them.

    Args:
        path: A vector file.
        column: A column; where several layers have it, as LAYER/COLUMN.

    Returns:
        A GeoDataFrame of the column and the geometry, in the file's CRS.

    Raises:
        DataError: the file is unreadable, holds no polygons, or one column of one layer is not
            named.
    """
    try:
        import geopandas
        import pyogrio
    except ImportError as error:
        raise require("geopandas", "tables", "a task from polygons") from error
    if not path.is_file():
        raise DataError(f"no such file of polygons: {path}")
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
    """The polygon that holds each place; its border belongs to it.

    Edges are straight in the polygons' own CRS, so the places are brought there. In degrees they
    are looked up modulo 360°: polygons cut at the antimeridian and those that run on beyond 180°
    are the same.

    Args:
        polygons: GeoDataFrame; without a CRS, in degrees.
        lonlat: (N, 2), degrees.

    Returns:
        (N,) int64 row of the polygon, the first of several, or −1.
    """
    import pyproj
    import shapely

    geometry = polygons.geometry
    x, y = lonlat.T
    if polygons.crs is not None:
        x, y = pyproj.Transformer.from_crs("EPSG:4326", polygons.crs, always_xy=True).transform(
            x, y
        )
    degrees = polygons.crs is None or polygons.crs.is_geographic
    turns = np.array([0, 360, -360] if degrees else [0])
    shown = np.flatnonzero(np.isfinite(x) & np.isfinite(y))  # a projection may not show them all
    shifted = shapely.points(np.add.outer(turns, x[shown]).ravel(), np.tile(y[shown], len(turns)))
    # The tree holds the points: each polygon, which may have a million corners, is then prepared
    # once and asked for all of its points.
    row, point = shapely.STRtree(shifted).query(geometry.to_numpy(), predicate="covers")
    first = np.full(len(lonlat), len(polygons))
    np.minimum.at(first, shown[point % max(len(shown), 1)], row)
    return np.where(first == len(polygons), -1, first)
