import numpy as np
import pytest

from earth_embed.config import Sphere2Vec
from earth_embed.coordinates import unit_vector
from tests.conftest import random_places
from tests.encoders.positional.features import encode

sin, cos = np.sin, np.cos


def reference(kind, lonlat, frequencies):
    """The published features in float64, scale after scale."""
    lon, lat = np.radians(lonlat.astype(np.float64)).T
    columns = []
    if kind == "DFS":
        for angle in (lat, lon):
            for function in (sin, cos):
                columns += [function(f * angle) for f in frequencies]
        for a in (sin, cos):
            for b in (sin, cos):
                columns += [a(f * lat) * b(g * lon) for f in frequencies for g in frequencies]
        return np.stack(columns, axis=1)
    for f in frequencies:
        fine_lon, fine_lat = f * lon, f * lat
        if kind in ("C", "C+"):
            columns += [sin(fine_lat), cos(fine_lat) * cos(fine_lon), cos(fine_lat) * sin(fine_lon)]
        else:
            columns += [sin(fine_lat), cos(fine_lat) * cos(lon), cos(lat) * cos(fine_lon)]
            columns += [cos(fine_lat) * sin(lon), cos(lat) * sin(fine_lon)]
        if kind == "C+":
            columns += [sin(fine_lat), cos(fine_lat), sin(fine_lon), cos(fine_lon)]
        if kind == "M+":
            columns += [cos(fine_lat), sin(fine_lon), cos(fine_lon)]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("kind", ["C", "C+", "M", "M+", "DFS"])
def test_features_are_the_formula(kind, rng):
    lonlat = random_places(rng, 50).astype(np.float32)
    found = encode(Sphere2Vec(kind, scales=3, min_radius=0.02, max_radius=2.0), lonlat)
    expected = reference(kind, lonlat, (1 / 2, 1 / 0.2, 1 / 0.02))
    np.testing.assert_allclose(found, expected, atol=3e-5)


@pytest.mark.parametrize("kind", ["C", "M"])
def test_at_frequency_one_they_are_made_of_the_unit_vector(kind, rng):
    lonlat = random_places(rng, 50)
    x, y, z = unit_vector(lonlat).T
    columns = [z, x, y] if kind == "C" else [z, x, x, y, y]
    found = encode(Sphere2Vec(kind, scales=1, max_radius=1.0), lonlat)
    np.testing.assert_allclose(found, np.stack(columns, axis=1), atol=1e-6)
