import numpy as np

from earth_embed.config import Cartesian, Wrap
from earth_embed.coordinates import unit_vector
from tests.conftest import random_places
from tests.encoders.positional.features import encode


def test_cartesian_is_the_unit_vector(rng):
    lonlat = random_places(rng, 100)
    found = encode(Cartesian(), lonlat)
    # Five roundings of numbers up to 1; two were found.
    np.testing.assert_allclose(found, unit_vector(lonlat), rtol=0, atol=6e-7)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=0, atol=6e-7)


def test_wrap_is_two_circles_and_keeps_the_poles_apart(rng):
    lonlat = random_places(rng, 100)
    sin_lon, cos_lon, sin_lat, cos_lat = encode(Wrap(), lonlat).T.astype(np.float64)
    np.testing.assert_allclose(np.degrees(np.arctan2(sin_lon, cos_lon)), lonlat[:, 0], atol=3e-5)
    np.testing.assert_allclose(np.degrees(np.arctan2(sin_lat, cos_lat)), lonlat[:, 1], atol=3e-5)
    north, south = encode(Wrap(), [[0, 90], [0, -90]])
    assert np.abs(north - south).max() > 1.9
