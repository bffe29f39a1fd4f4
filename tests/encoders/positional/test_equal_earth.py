import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.config import EqualEarth, EqualEarthFourier
from earth_embed.encoders.positional.equal_earth import equal_earth
from tests.conftest import random_places
from tests.encoders.positional.features import draw, encode


def reference(lonlat):
    """The published formula in float64."""
    lon, lat = np.radians(lonlat.astype(np.float64)).T
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    theta = np.arcsin(np.sqrt(3) / 2 * np.sin(lat))
    x = 2 * np.sqrt(3) * lon * np.cos(theta)
    x /= 3 * (9 * a4 * theta**8 + 7 * a3 * theta**6 + 3 * a2 * theta**2 + a1)
    y = a4 * theta**9 + a3 * theta**7 + a2 * theta**3 + a1 * theta
    return np.stack([x, y], axis=1) * 66.50336 / 180


def places(rng, count=3000):
    edges = [[180, 90], [-180, -90], [180, 0], [-180, 0.5], [33, -0.5], [1e-6, 89.99999], [0, 0]]
    return np.concatenate([edges, random_places(rng, count)]).astype(np.float32)


@pytest.mark.parametrize(
    ("lonlat", "expected"),
    [
        ((-74.0060, 40.7128), (-0.36276157, 0.29079118)),
        ((-118.2437, 34.0522), (-0.60242176, 0.24681705)),
        ((0, 90), (0, 0.48671693)),
        ((180, 0), (0.99999992, 0)),
    ],
)
def test_golden_values_of_geoclip(lonlat, expected):
    np.testing.assert_allclose(encode(EqualEarth(), [lonlat])[0], expected, atol=6e-8)


def test_high_and_low_add_to_the_projection_beyond_float32(rng):
    lonlat = places(rng)
    high, low = jax.jit(equal_earth)(lonlat)
    found = np.asarray(high, np.float64) + np.asarray(low, np.float64)
    np.testing.assert_allclose(found, reference(lonlat), rtol=0, atol=2e-9)


def test_equal_areas_on_the_globe_are_equal_on_the_map(rng):
    """The determinant of the Jacobian is a constant times cos φ."""

    @jax.jit
    @jax.vmap
    def area(point):
        plane = lambda p: sum(equal_earth(p[None]))[0]  # noqa: E731
        return jnp.linalg.det(jax.jacfwd(plane)(point))

    lonlat = places(rng, 300)
    found = area(lonlat)
    lat = np.radians(lonlat[:, 1].astype(np.float64))
    np.testing.assert_allclose(found, area(jnp.zeros((1, 2)))[0] * np.cos(lat), atol=3e-9)


def test_the_finest_waves_have_the_right_phase(rng):
    """σ = 256: up to a thousand turns over half the map, to a millionth of a turn."""
    encoding = EqualEarthFourier(64, (1.0, 256.0))
    lonlat = places(rng)
    variables = draw(encoding)
    b = np.asarray(variables["params"]["frozen_frequencies"], np.float64)
    found = encode(encoding, lonlat, variables).reshape(len(lonlat), 2, 128)
    for scale in range(2):
        phase = 2 * np.pi * reference(lonlat) @ b[scale].T
        expected = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        np.testing.assert_allclose(found[:, scale], expected, atol=6e-6)


def test_frequencies_are_normal_with_each_scale_s_deviation():
    encoding = EqualEarthFourier(2000, (1.0, 16.0, 256.0))
    init = jax.jit(
        lambda: encoding.module(name="encoding").init(jax.random.key(4), jnp.zeros((1, 2)))
    )
    b = np.asarray(init()["params"]["frozen_frequencies"])
    assert b.shape == (3, 2000, 2)
    np.testing.assert_allclose(b.std(axis=(1, 2)), [1, 16, 256], rtol=0.05)
    np.testing.assert_allclose(b.mean(axis=(1, 2)) / [1, 16, 256], 0, atol=0.06)
