import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import sph_harm_y

from earth_embed.encoders.spherical_harmonics import degree_and_order, spherical_harmonics
from tests.conftest import random_places


def scipy_reference(lonlat, degree):
    """Real harmonics from scipy's complex ones, which carry the Condon–Shortley phase."""
    theta, phi = np.radians(90 - lonlat[:, 1]), np.radians(lonlat[:, 0])
    columns = []
    for ell in range(degree):
        for m in range(-ell, ell + 1):
            y = (-1.0) ** m * sph_harm_y(ell, abs(m), theta, phi)
            root2 = np.sqrt(2) if m else 1
            columns.append(root2 * (y.imag if m < 0 else y.real))
    return np.stack(columns, axis=1)


def places(rng, count):
    edges = [[0, 90], [0, -90], [77, 90], [180, 10], [-180, 10], [0, 0], [123, 89.9999]]
    return np.concatenate([edges, random_places(rng, count)])


@pytest.mark.parametrize(("degree", "tolerance"), [(1, 1e-6), (2, 1e-6), (10, 5e-6), (40, 3e-5)])
def test_float32_agrees_with_scipy(rng, degree, tolerance):
    lonlat = places(rng, 200)
    ours = spherical_harmonics(jnp.asarray(lonlat, jnp.float32), degree)
    exact = scipy_reference(lonlat.astype(np.float32).astype(np.float64), degree)
    assert ours.shape == (len(lonlat), degree**2)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, exact, atol=tolerance)


def test_float64_agrees_with_scipy_to_rounding(rng):
    lonlat = places(rng, 50)
    with jax.enable_x64(True):
        ours = np.asarray(spherical_harmonics(jnp.asarray(lonlat), 30))
    np.testing.assert_allclose(ours, scipy_reference(lonlat, 30), atol=1e-12)


def test_orthonormal_on_gauss_legendre_nodes():
    degree = 12
    nodes, weights = np.polynomial.legendre.leggauss(degree)
    lon = np.arange(2 * degree) * 360 / (2 * degree) - 180
    lat = np.degrees(np.arcsin(nodes))
    lonlat = np.stack(np.meshgrid(lon, lat), axis=-1).reshape(-1, 2)
    area = np.repeat(weights * 2 * np.pi / (2 * degree), 2 * degree)
    y = np.asarray(spherical_harmonics(jnp.asarray(lonlat, jnp.float32), degree), np.float64)
    np.testing.assert_allclose(y.T @ (area[:, None] * y), np.eye(degree**2), atol=2e-6)


def test_addition_theorem(rng):
    """Σ_m Y_lm(x) Y_lm(y) = (2l + 1)/4π · P_l(x · y)."""
    degree = 9
    a, b = random_places(rng, 40), random_places(rng, 40)
    ya, yb = (np.asarray(spherical_harmonics(jnp.asarray(p, jnp.float32), degree)) for p in (a, b))
    ell, _ = degree_and_order(degree)
    (lon_a, lat_a), (lon_b, lat_b) = np.radians(a).T, np.radians(b).T
    cosine = np.sin(lat_a) * np.sin(lat_b) + np.cos(lat_a) * np.cos(lat_b) * np.cos(lon_a - lon_b)
    for degree_l in range(degree):
        total = (ya * yb)[:, ell == degree_l].sum(axis=1)
        legendre = np.polynomial.legendre.Legendre.basis(degree_l)(cosine)
        np.testing.assert_allclose(total, (2 * degree_l + 1) / (4 * np.pi) * legendre, atol=5e-6)


def test_poles_and_antimeridian_have_no_seam():
    ends = jnp.array([[-180, 33], [180, 33], [12, 90], [-100, 90]], jnp.float32)
    y = spherical_harmonics(ends, 20)
    np.testing.assert_allclose(y[0], y[1], atol=2e-5)
    np.testing.assert_allclose(y[2], y[3], atol=2e-5)


def test_gradients_are_finite_at_the_poles_and_match_differences(rng):
    def total(lonlat):
        weights = jnp.sin(jnp.arange(100, dtype=lonlat.dtype))
        return (spherical_harmonics(lonlat, 10) * weights[None, :]).sum()

    poles = jnp.array([[0, 90], [45, -90], [180, 90], [0, 0]], jnp.float32)
    assert np.isfinite(jax.grad(total)(poles)).all()
    with jax.enable_x64(True):
        point = jnp.asarray(random_places(rng, 1))
        gradient = np.asarray(jax.grad(total)(point))[0]
        for axis in range(2):
            shift = np.zeros((1, 2))
            shift[0, axis] = 1e-5
            difference = (float(total(point + shift)) - float(total(point - shift))) / 2e-5
            np.testing.assert_allclose(gradient[axis], difference, rtol=1e-6, atol=1e-9)


def test_columns_are_ordered_by_degree_then_order():
    ell, m = degree_and_order(3)
    assert ell.tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 2]
    assert m.tolist() == [0, -1, 0, 1, -2, -1, 0, 1, 2]
