import math

import jax
import numpy as np
import pytest
from scipy.special import sph_harm_y

from earth_embed.config import SphericalHarmonics
from earth_embed.coordinates import EARTH_RADIUS_KM
from tests.conftest import random_places
from tests.encoders.positional.features import draw, encode


def test_satclip_s_golden_values():
    """Its analytic form, which the released weights were trained on; l ≤ 2, float64."""
    golden = {
        (0, 0): "0.886226925453 0 0 -.488602511903 0 0 -.990831824402 0 .546274215296",
        (10, 50): ".886226925453 -.054537273474 -1.175870607176 -.309296247544 .077196459051 "
        ".093418392705 .753500123223 .529802032168 .212095528106",
        (-122.3, 47.6): ".886226925453 .278484900203 -1.133521609032 .176050845838 .224372214819 "
        "-.459844387353 .630118379382 -.290701554333 -.106539760658",
    }
    found = encode(SphericalHarmonics(3, "satclip"), list(golden))
    expected = [[float(v) for v in values.split()] for values in golden.values()]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    whole = encode(SphericalHarmonics(10, "satclip"), [(0, 0), (10, 50), (0, 90), (0, -90)])
    squares = [12.232347871695, 14.859817474094, 78.539816339754, 78.539816339754]
    np.testing.assert_allclose((whole**2).sum(axis=1), squares, rtol=2e-6)
    np.testing.assert_allclose(whole[2:, 2], [-1.534990061920, 1.534990061920], atol=5e-7)


def test_orthonormal_is_scipy_s(rng):
    lonlat = random_places(rng, 40)
    theta, phi = np.radians(90 - lonlat[:, 1]), np.radians(lonlat[:, 0])
    found = encode(SphericalHarmonics(4), lonlat)
    for ell, m in [(0, 0), (1, -1), (2, 0), (3, 2), (3, -3)]:
        y = (-1.0) ** m * sph_harm_y(ell, abs(m), theta, phi)
        expected = np.sqrt(2) * (y.imag if m < 0 else y.real) if m else y.real
        np.testing.assert_allclose(found[:, ell**2 + ell + m], expected, atol=2e-6)


@pytest.mark.parametrize("normalisation", ["orthonormal", "satclip"])
def test_the_low_pass_is_a_mean_over_that_many_km(normalisation, rng):
    """Gauss–Hermite means of the sharp harmonics over normal steps north and east of each place."""
    km = 300.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(7)
    east, north = (step.ravel()[:, None] for step in np.meshgrid(nodes, nodes))  # (49, 1)
    weight = np.outer(weights, weights).ravel() / (2 * np.pi)
    lonlat = random_places(rng, 30)
    lon, lat = np.radians(lonlat).T[:, None, :]  # (1, 30) each
    bearing, way = np.arctan2(east, north), km / EARTH_RADIUS_KM * np.hypot(east, north)
    end_lat = np.arcsin(np.sin(lat) * np.cos(way) + np.cos(lat) * np.sin(way) * np.cos(bearing))
    end_lon = lon + np.arctan2(
        np.sin(bearing) * np.sin(way) * np.cos(lat),
        np.cos(way) - np.sin(lat) * np.sin(end_lat),
    )
    ends = np.degrees(np.stack([end_lon, end_lat], axis=-1)).reshape(-1, 2)
    sharp = encode(SphericalHarmonics(8, normalisation), ends).reshape(49, 30, 64)
    smooth = encode(SphericalHarmonics(8, normalisation, low_pass_km=km), lonlat)
    np.testing.assert_allclose(smooth, np.einsum("k,kni->ni", weight, sharp), atol=3e-3)
    assert np.abs(smooth - encode(SphericalHarmonics(8, normalisation), lonlat)).max() > 3e-2


def test_low_passes_in_a_row_add_their_squares(rng):
    lonlat = random_places(rng, 20)
    both = encode(SphericalHarmonics(9, low_pass_km=300.0), lonlat, smoothing_km=400.0)
    np.testing.assert_allclose(
        both, encode(SphericalHarmonics(9, low_pass_km=500.0), lonlat), atol=1e-6
    )
    learnable = SphericalHarmonics(9, low_pass_km=300.0, learnable_low_pass=True)
    start = {"params": {"log_low_pass_km": np.float32(np.log(300.0))}}
    np.testing.assert_allclose(
        encode(learnable, lonlat, start, smoothing_km=400.0), both, atol=1e-5
    )


def test_the_learnable_length_starts_as_set_and_has_a_gradient(rng):
    encoding = SphericalHarmonics(6, low_pass_km=800.0, learnable_low_pass=True)
    module = encoding.module(name="encoding")
    lonlat = random_places(rng, 5).astype(np.float32)
    variables = jax.jit(module.init)(jax.random.key(0), lonlat)
    assert float(variables["params"]["log_low_pass_km"]) == pytest.approx(np.log(800.0))
    kernel = np.ones((36, 1), np.float32)
    gradient = jax.jit(jax.grad(lambda v: (module.apply(v, lonlat) @ kernel).sum()))(variables)
    step = 1e-2
    moved = [
        encode(SphericalHarmonics(6, low_pass_km=800.0 * math.exp(s)), lonlat).sum()
        for s in (step, -step)
    ]
    expected = (moved[0] - moved[1]) / (2 * step)
    np.testing.assert_allclose(gradient["params"]["log_low_pass_km"], expected, rtol=2e-2)
    assert draw(SphericalHarmonics(6)) == {}
