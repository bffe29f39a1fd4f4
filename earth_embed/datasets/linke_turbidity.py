"""Data set "linke_turbidity": the haziness of the sky in each month."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from earth_embed.datasets.builder import SEED, Columns, PlacesBuilder
from earth_embed.datasets.packaged import draw_on_land, nearest, read_pvlib


class LinkeTurbidity(PlacesBuilder):
    """Twelve monthly Linke turbidities at places drawn equal-area on land."""

    COUNTS: ClassVar = {"full": 20_000, "tiny": 1_500}
    ABOUT: ClassVar = {
        "description": (
            "Monthly climatology of the Linke turbidity, January to December, on a 5′ grid, at "
            "places drawn uniformly by area on land. It is the number of clean, dry atmospheres "
            "that would dim the sun as much as the real one: 2 is clear, 6 is hazy. "
            "Licence: from the SoDa service (MINES ParisTech), shipped by the package pvlib "
            "under BSD-3-Clause."
        ),
        "homepage": "https://pvlib-python.readthedocs.io",
        "citation": (
            "@inproceedings{remund2003worldwide, title={Worldwide Linke turbidity information}, "
            "author={Remund, Jan and Wald, Lucien and Lef{\\`e}vre, Mireille and Ranchin, Thierry "
            "and Page, John}, booktitle={Proceedings of ISES Solar World Congress}, year={2003}}"
        ),
    }

    def sample_features(self) -> dict[str, Any]:
        """One series of twelve months."""
        doc = "Linke turbidity, January to December."
        return {"series": tfds.features.Tensor(shape=(12,), dtype=np.float32, doc=doc)}

    def make(self, count: int) -> Columns:
        """Draws places and looks up their turbidities."""
        lonlat = draw_on_land("linke_turbidity", count, SEED)
        return {"lon": lonlat[:, 0], "lat": lonlat[:, 1], "series": turbidity_at(lonlat)}


def turbidity_at(lonlat: np.ndarray) -> np.ndarray:
    """Monthly Linke turbidity, as from pvlib.clearsky.lookup_linke_turbidity uninterpolated.

    Args:
        lonlat: (N, 2), degrees.

    Returns:
        (N, 12) float32.
    """
    # The file holds 20 times the turbidity.
    return nearest(read_pvlib("LinkeTurbidities.h5", "LinkeTurbidity"), lonlat) / np.float32(20)
