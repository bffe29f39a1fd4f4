import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree
from scipy.special import softmax

from earth_embed.config import SphericalVoronoi
from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.encoders.positional.learnable import fibonacci_lattice
from tests.conftest import random_places
from tests.encoders.positional.features import draw, encode


def test_features_are_the_formula(rng):
    encoding = SphericalVoronoi(30, 5, blur_km=1500.0)
    lonlat = random_places(rng, 60)
    variables = draw(encoding)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])
    sites = p["sites"] / np.linalg.norm(p["sites"], axis=1, keepdims=True)
    weight = softmax(np.exp(p["log_kappa"]) * unit_vector(lonlat) @ sites.T, axis=1)
    np.testing.assert_allclose(
        encode(encoding, lonlat, variables), weight @ p["vectors"], atol=2e-4
    )


def test_without_blur_a_place_takes_its_nearest_site_s_vector(rng):
    encoding = SphericalVoronoi(50, 3, blur_km=40.0)
    init = jax.jit(
        lambda: encoding.module(name="encoding").init(jax.random.key(2), jnp.zeros((1, 2)))
    )
    variables = init()
    p = jax.tree.map(np.asarray, variables["params"])
    np.testing.assert_allclose(np.exp(p["log_kappa"] / 2), EARTH_RADIUS_KM / 40, rtol=1e-5)
    lonlat = random_places(rng, 200)
    distance, nearest = cKDTree(p["sites"]).query(unit_vector(lonlat), k=2)
    inside = distance[:, 1] - distance[:, 0] > 0.02  # away from the borders
    assert inside.sum() > 150
    expected = p["vectors"][nearest[:, 0]]
    found = encode(encoding, lonlat, variables)
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-3)


def test_sites_start_spread_evenly():
    sites = fibonacci_lattice(1000)
    np.testing.assert_allclose(np.linalg.norm(sites, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(sites.mean(axis=0), 0, atol=2e-3)
    distance, _ = cKDTree(sites).query(sites, k=2)
    side = np.sqrt(4 * np.pi / 1000)
    assert 0.7 * side < distance[:, 1].min()
    assert distance[:, 1].max() < 1.1 * side
