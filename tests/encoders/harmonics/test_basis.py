import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import sph_harm_y

from earth_embed.encoders.harmonics.basis import (
    degree_and_order,
    harmonics_dense,
    legendre,
    spherical_harmonics,
)
from earth_embed.encoders.sine import multiples
from earth_embed.errors import ConfigError
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


def compute(lonlat, degree):
    return np.asarray(jax.jit(lambda x: spherical_harmonics(x, degree))(lonlat))


@pytest.mark.parametrize(("degree", "tolerance"), [(1, 2e-7), (2, 2e-7), (10, 5e-7), (40, 1e-6)])
def test_float32_agrees_with_scipy(rng, degree, tolerance):
    lonlat = places(rng, 200).astype(np.float32)
    ours = compute(lonlat, degree)
    assert ours.shape == (len(lonlat), degree**2)
    assert ours.dtype == np.float32
    exact = scipy_reference(lonlat.astype(np.float64), degree)
    np.testing.assert_allclose(ours, exact, atol=tolerance)


def reference_legendre(lat, degree):
    """The textbook recurrence in extended precision, |sin φ| and cos φ from the polar angle."""
    psi = (90 - np.abs(lat.astype(np.longdouble))) * np.longdouble("0.01745329251994329576924")
    x, sine = np.cos(psi), np.sin(psi)
    table = np.zeros((degree, degree, lat.size))
    seed = np.full(lat.size, 1 / np.sqrt(4 * np.longdouble("3.14159265358979323846264")))
    for m in range(degree):
        if m:
            seed = seed * np.sqrt(np.longdouble(2 * m + 1) / (2 * m)) * sine
        now, before = seed, np.zeros_like(seed)
        table[m, m] = now
        for ell in range(m + 1, degree):
            a = np.sqrt(np.longdouble(4 * ell**2 - 1) / (ell**2 - m**2))
            b = np.sqrt(np.longdouble((ell - 1) ** 2 - m**2) / (4 * (ell - 1) ** 2 - 1))
            now, before = a * (x * now - b * before), now
            table[ell, m] = now
    ell, m = np.arange(degree)[:, None, None], np.arange(degree)[None, :, None]
    return table * np.where((lat < 0) & ((ell + m) % 2 == 1), -1, 1)


@pytest.mark.parametrize(("degree", "tolerance"), [(100, 2e-5), (512, 1e-4), (1024, 2e-4)])
def test_float32_holds_to_high_degree(rng, degree, tolerance):
    """On both sides of every trap: the poles, the underflow of cosᵐ φ, and the multiples of λ."""
    edges = [90, -90, 89.9999, -89.99, 89.5, -85, 60, 30.5, 12, 0]
    lat = np.array([*edges, *random_places(rng, 4)[:, 1]], np.float32)
    exact = reference_legendre(lat, degree)
    ours = np.asarray(jax.jit(lambda x: legendre(x, degree))(lat))
    np.testing.assert_allclose(np.sqrt(2) * ours, np.sqrt(2) * exact, atol=tolerance)

    lon = np.array([180, -180, 179.9999, 0, 1e-6, -77.7, 123.4], np.float32)
    k = np.arange(degree)
    angle = np.radians(np.fmod(lon.astype(np.float64)[:, None] * k, 360))
    cosines, sines = jax.jit(lambda x: multiples(x, degree))(lon)
    np.testing.assert_allclose(cosines, np.cos(angle), atol=5e-7)
    np.testing.assert_allclose(sines, np.sin(angle), atol=5e-7)


@pytest.mark.parametrize(("degree", "tolerance"), [(100, 2e-6), (128, 2e-6), (512, 1e-4)])
def test_all_harmonics_of_high_degree(rng, degree, tolerance):
    """The whole of it beside extended precision, at few points."""
    lat = np.array([90, -89.9999, 60, -12, *random_places(rng, 2)[:, 1]], np.float32)
    lonlat = np.stack([np.array([180, -180, 179.9, 0, -77.7, 123.4], np.float32), lat], axis=1)
    ell, m = degree_and_order(degree)
    angle = np.radians(np.fmod(lonlat[:, :1].astype(np.float64) * np.abs(m), 360))
    azimuth = np.where(m < 0, np.sin(angle), np.cos(angle)) * np.where(m == 0, 1, np.sqrt(2))
    exact = reference_legendre(lat, degree)[ell, np.abs(m)].T * azimuth
    np.testing.assert_allclose(compute(lonlat, degree), exact, atol=tolerance)


@pytest.mark.parametrize("degree", [0, 1025])
def test_bad_arguments_are_named(degree):
    with pytest.raises(ConfigError, match=f"degree = {degree}: expected 1 … 1024"):
        spherical_harmonics(jnp.zeros((1, 2)), degree)
    with pytest.raises(ConfigError, match="kernel of 17 rows: expected 16"):
        harmonics_dense(jnp.zeros((1, 2)), jnp.zeros((17, 3)), 4)


def test_float64_agrees_with_scipy_to_rounding(rng):
    lonlat = places(rng, 50)
    with jax.enable_x64(True):
        ours = compute(lonlat, 30)
    np.testing.assert_allclose(ours, scipy_reference(lonlat, 30), atol=1e-12)


def test_orthonormal_on_gauss_legendre_nodes():
    degree = 12
    nodes, weights = np.polynomial.legendre.leggauss(degree)
    lon = np.arange(2 * degree) * 360 / (2 * degree) - 180
    lat = np.degrees(np.arcsin(nodes))
    lonlat = np.stack(np.meshgrid(lon, lat), axis=-1).reshape(-1, 2)
    area = np.repeat(weights * 2 * np.pi / (2 * degree), 2 * degree)
    y = compute(lonlat.astype(np.float32), degree).astype(np.float64)
    np.testing.assert_allclose(y.T @ (area[:, None] * y), np.eye(degree**2), atol=2e-6)


def test_addition_theorem(rng):
    """Σ_m Y_lm(x) Y_lm(y) = (2l + 1)/4π · P_l(x · y)."""
    degree = 9
    a, b = random_places(rng, 40), random_places(rng, 40)
    ya, yb = (compute(p.astype(np.float32), degree) for p in (a, b))
    ell, _ = degree_and_order(degree)
    (lon_a, lat_a), (lon_b, lat_b) = np.radians(a).T, np.radians(b).T
    cosine = np.sin(lat_a) * np.sin(lat_b) + np.cos(lat_a) * np.cos(lat_b) * np.cos(lon_a - lon_b)
    for degree_l in range(degree):
        total = (ya * yb)[:, ell == degree_l].sum(axis=1)
        legendre = np.polynomial.legendre.Legendre.basis(degree_l)(cosine)
        np.testing.assert_allclose(total, (2 * degree_l + 1) / (4 * np.pi) * legendre, atol=5e-6)


def test_poles_and_antimeridian_have_no_seam():
    ends = jnp.array([[-180, 33], [180, 33], [12, 90], [-100, 90]], jnp.float32)
    y = compute(ends, 20)
    np.testing.assert_allclose(y[0], y[1], atol=2e-5)
    np.testing.assert_allclose(y[2], y[3], atol=2e-5)


def test_gradients_are_finite_at_the_poles_and_match_differences(rng):
    def total(lonlat):
        weights = jnp.sin(jnp.arange(100, dtype=lonlat.dtype))
        return (spherical_harmonics(lonlat, 10) * weights[None, :]).sum()

    poles = jnp.array([[0, 90], [45, -90], [180, 90], [0, 0]], jnp.float32)
    assert np.isfinite(jax.jit(jax.grad(total))(poles)).all()
    with jax.enable_x64(True):
        point = jnp.asarray(random_places(rng, 1))
        gradient = np.asarray(jax.grad(total)(point))[0]
        for axis in range(2):
            shift = np.zeros((1, 2))
            shift[0, axis] = 1e-5
            difference = (float(total(point + shift)) - float(total(point - shift))) / 2e-5
            np.testing.assert_allclose(gradient[axis], difference, rtol=1e-6, atol=1e-9)


def test_rotation_about_the_axis_mixes_orders_m_and_minus_m(rng):
    """Y_l±m(λ + α) is the pair Y_l±m(λ) turned by mα."""
    degree, alpha = 30, 37.0
    lonlat = random_places(rng, 30).astype(np.float32)
    turned = np.stack([(lonlat[:, 0] + alpha + 180) % 360 - 180, lonlat[:, 1]], axis=1)
    before, after = compute(lonlat, degree), compute(turned.astype(np.float32), degree)
    ell, m = degree_and_order(degree)
    angle = np.radians(alpha * m)
    opposite = ell * (ell + 1) - m
    expected = np.cos(angle) * before - np.sin(angle) * before[:, opposite]
    np.testing.assert_allclose(after, expected, atol=2e-5)


def test_all_is_finite_beyond_the_underflow(rng):
    """Values and gradients of the recurrence where sinᵐ ψ leaves float32, and at the poles."""
    edges = [[0, 90], [180, -90], [-180, 89.9999], [33, -89.99], [180, 0]]
    lonlat = np.concatenate([edges, random_places(rng, 40)]).astype(np.float32)
    kernel = jnp.asarray(rng.normal(size=(400**2, 1)), jnp.float32)
    both = jax.value_and_grad(lambda x, k: harmonics_dense(x, k, 400).sum(), argnums=(0, 1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(both)(lonlat, kernel)))


def test_all_is_finite_on_a_hundred_thousand_points(rng):
    """The poles, points 1e-12 rad from them, and ±180° among them; values and gradients."""
    near = 90 - np.degrees(1e-12)
    edges = [[0, 90], [180, -90], [-180, 90], [33, near], [-33, -near], [180, 0], [-180, 45]]
    lonlat = np.concatenate([edges, random_places(rng, 100_000 - len(edges))]).astype(np.float32)
    weights = jnp.asarray(rng.normal(size=(400, 1)), jnp.float32)

    def total(lonlat):
        return harmonics_dense(lonlat, weights, 20).sum()

    values = jax.jit(lambda x: harmonics_dense(x, weights, 20))(lonlat)
    assert np.isfinite(values).all()
    assert np.isfinite(jax.jit(jax.grad(total))(lonlat)).all()
    with jax.enable_x64(True):
        exactly = np.array([[33, near], [-33, -near], [5, 90]])
        gradient = jax.jit(jax.jacfwd(lambda x: spherical_harmonics(x[None], 20)[0]))
        assert all(np.isfinite(gradient(point)).all() for point in exactly)


def test_columns_are_ordered_by_degree_then_order():
    ell, m = degree_and_order(3)
    assert ell.tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 2]
    assert m.tolist() == [0, -1, 0, 1, -2, -1, 0, 1, 2]
