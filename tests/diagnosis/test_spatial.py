"""Fields whose covariance is known."""

import numpy as np
import pytest

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.diagnosis.geometry import similarity_by_distance
from tests.conftest import random_places


def test_the_place_itself_as_embedding_has_the_cosine_of_the_angle():
    lonlat = random_places(np.random.default_rng(0), 400)
    curve = similarity_by_distance(lonlat, unit_vector(lonlat))
    assert sum(curve.pairs) == 400 * 399 // 2
    assert curve.km == sorted(curve.km)
    for km, cosine in list(zip(curve.km, curve.cosine, strict=True))[:-1]:
        assert cosine == pytest.approx(np.cos(km / EARTH_RADIUS_KM), abs=0.02)
    # γ = 1 − cos; that of all pairs is 1, and the far ones, a great part of them, lie above.
    points = unit_vector(lonlat)
    cosines = (points @ points.T)[np.triu_indices(400, 1)]
    sill = 1 - cosines[np.arccos(cosines) * EARTH_RADIUS_KM > 5000].mean()
    expected = EARTH_RADIUS_KM * np.arccos(1 - sill / 2)
    assert curve.half_sill_km == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("bandwidth_km", [400, 1500])
def test_half_sill_of_a_gaussian_field(bandwidth_km):
    """Random Fourier features: their mean product is exp(−d²/2h²), d the chord."""
    rng = np.random.default_rng(1)
    lonlat = random_places(rng, 1500)
    frequencies = rng.normal(size=(3, 4096)) * EARTH_RADIUS_KM / bandwidth_km
    phases = unit_vector(lonlat) @ frequencies + rng.uniform(0, 2 * np.pi, 4096)
    curve = similarity_by_distance(lonlat, np.cos(phases))
    assert curve.half_sill_km == pytest.approx(bandwidth_km * np.sqrt(2 * np.log(2)), rel=0.1)


def test_places_of_one_region_have_no_sill():
    lonlat = random_places(np.random.default_rng(2), 50) / 100
    assert similarity_by_distance(lonlat, unit_vector(lonlat)).half_sill_km is None


def test_one_embedding_everywhere_has_no_half_sill():
    lonlat = random_places(np.random.default_rng(3), 50)
    curve = similarity_by_distance(lonlat, np.ones((50, 4)))
    assert curve.cosine == pytest.approx([1] * len(curve.cosine))
