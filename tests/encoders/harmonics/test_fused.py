"""The fused forms against the plain features times the kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from earth_embed.encoders.harmonics import basis, products, streamed
from earth_embed.encoders.harmonics.basis import harmonics_dense, spherical_harmonics
from earth_embed.step.mesh import build_mesh
from tests.conftest import random_places


def plain(lonlat, kernel, degree):
    return spherical_harmonics(lonlat, degree) @ kernel


def by_products(lonlat, kernel, degree):
    return products.dense(lonlat, products.in_feature_order(kernel, degree), degree)


def value_and_gradients(form, degree, lonlat, kernel, cotangent):
    def both(lonlat, kernel):
        value, pull = jax.vjp(lambda x, k: form(x, k, degree), lonlat, kernel)
        return value, *pull(cotangent)

    return jax.jit(both)(lonlat, kernel)


def problem(rng, degree, count=30, width=6):
    edges = [[180, 90], [-180, -90], [3, 89.99], [77, 0], [-180, 12]]
    lonlat = np.concatenate([edges, random_places(rng, count)]).astype(np.float32)
    kernel = jnp.asarray(rng.normal(size=(degree**2, width)) / degree, jnp.float32)
    cotangent = rng.normal(size=(len(lonlat), width)).astype(np.float32)
    return lonlat, kernel, cotangent


@pytest.mark.parametrize("form", [by_products, streamed.dense])
@pytest.mark.parametrize("degree", [1, 2, 5, 16, 70])
def test_a_fused_form_is_features_times_kernel(rng, form, degree):
    """Odd and even degrees, one segment of the recurrence and two; and the gradients."""
    args = problem(rng, degree)
    for ours, theirs in zip(
        value_and_gradients(form, degree, *args),
        value_and_gradients(plain, degree, *args),
        strict=True,
    ):
        scale = float(jnp.abs(theirs).max()) or 1.0
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * scale)


@pytest.mark.parametrize("degree", [1, 2, 5, 40, 41, 100])
def test_products_and_recurrence_are_the_same_harmonics(rng, degree):
    """Two derivations that share nothing but the multiples of the angles; in float64."""
    lonlat = problem(rng, 1)[0]
    with jax.enable_x64(True):
        point = jnp.asarray(lonlat.astype(np.float64))
        ours = jax.jit(lambda x: spherical_harmonics(x, degree))(point)
        table = np.asarray(jax.jit(lambda x: basis.legendre(x, degree))(point[:, 1]))
    ell, m = basis.degree_and_order(degree)
    angle = np.radians(lonlat[:, :1].astype(np.float64)) * m
    azimuth = np.where(m < 0, -np.sin(angle), np.cos(angle)) * np.where(m == 0, 1, np.sqrt(2))
    np.testing.assert_allclose(ours, table[ell, np.abs(m)].T * azimuth, atol=1e-11)


@pytest.mark.parametrize("count", [1, 7, 16, 37])
def test_chunks_of_points_make_no_difference(rng, monkeypatch, count):
    lonlat, kernel, cotangent = (x[-count:] for x in problem(rng, 6, count=count))
    kernel = problem(rng, 6)[1]
    whole = value_and_gradients(harmonics_dense, 6, lonlat, kernel, cotangent)
    monkeypatch.setattr(basis, "_AT_ONCE", 4 * 6**2 * 8)  # eight points at once
    chunked = value_and_gradients(harmonics_dense, 6, lonlat, kernel, cotangent)
    for a, b in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_chunks_keep_a_sharded_batch_sharded(rng, monkeypatch):
    """Each device computes its own points; no coordinates are gathered."""
    monkeypatch.setattr(basis, "_AT_ONCE", 4 * 6**2 * 16)
    mesh = build_mesh()
    lonlat = random_places(rng, 64).astype(np.float32)
    kernel = problem(rng, 6)[1]
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    function = jax.jit(lambda x: harmonics_dense(x, kernel, 6), in_shardings=sharding)
    compiled = function.lower(lonlat).compile()
    assert "all-gather" not in compiled.as_text()
    out = compiled(jax.device_put(lonlat, sharding))
    np.testing.assert_allclose(out, plain(lonlat, kernel, 6), rtol=1e-4, atol=1e-5)


def test_high_degrees_go_through_the_recurrence(rng):
    degree = products.UP_TO + 2
    args = problem(rng, degree, count=10, width=3)
    for ours, theirs in zip(
        value_and_gradients(harmonics_dense, degree, *args),
        value_and_gradients(plain, degree, *args),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * float(jnp.abs(theirs).max()))


def test_degree_512_at_4096_points_needs_less_than_one_gigabyte():
    """Forward and gradient, arguments and results included; the features alone would be 4.3 GB."""
    kernel = jax.ShapeDtypeStruct((512**2, 256), jnp.float32)
    lonlat = jax.ShapeDtypeStruct((4096, 2), jnp.float32)

    def loss(kernel, lonlat):
        return jnp.sum(harmonics_dense(lonlat, kernel, 512) ** 2)

    memory = jax.jit(jax.value_and_grad(loss)).lower(kernel, lonlat).compile().memory_analysis()
    total = (
        memory.temp_size_in_bytes
        + memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
    )
    assert total < 2**30


@pytest.mark.parametrize("degree", [10, 130])
def test_bfloat16_kernels(rng, degree):
    """Rounded factors, but sums in float32; values and the kernel's gradient."""
    lonlat, kernel, _ = problem(rng, degree)
    rounded = jnp.asarray(kernel, jnp.bfloat16)

    def loss(kernel):
        return harmonics_dense(lonlat, kernel, degree).astype(jnp.float32).sum()

    ours = jax.jit(lambda x: harmonics_dense(x, rounded, degree))(lonlat)
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(jnp.float32), plain(lonlat, kernel, degree), atol=0.1)
    gradient, exact = jax.jit(jax.grad(loss))(rounded), jax.jit(jax.grad(loss))(kernel)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        gradient.astype(jnp.float32), exact, atol=0.01 * jnp.abs(exact).max()
    )
