import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.encoders.sine import cosine, eighth_turn, sine


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_agrees_with_numpy_in_float64(rng, scale):
    x = (rng.uniform(-1, 1, 100_000) * scale).astype(np.float32)
    np.testing.assert_allclose(jax.jit(sine)(x), np.sin(x.astype(np.float64)), atol=2e-7)
    np.testing.assert_allclose(jax.jit(cosine)(x), np.cos(x.astype(np.float64)), atol=2e-7)


def test_relative_precision_near_zero():
    x = np.array([0.0, 1e-30, -1e-10, 1e-5], np.float32)
    np.testing.assert_allclose(jax.jit(sine)(x), x, rtol=2e-7)


def test_derivatives_of_every_order(rng):
    """sin → cos → −sin → −cos."""
    x = rng.uniform(-20, 20, 1000).astype(np.float32)
    first = jax.vmap(jax.grad(sine))
    second = jax.vmap(jax.grad(jax.grad(sine)))
    third = jax.vmap(jax.grad(jax.grad(jax.grad(sine))))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(jax.jit(first)(x), np.cos(exact), atol=2e-7)
    np.testing.assert_allclose(jax.jit(second)(x), -np.sin(exact), atol=2e-7)
    np.testing.assert_allclose(jax.jit(third)(x), -np.cos(exact), atol=2e-7)


def test_other_types_keep_their_own():
    x = jnp.linspace(-3, 3, 50, dtype=jnp.bfloat16)
    assert sine(x).dtype == jnp.bfloat16
    np.testing.assert_allclose(
        sine(x).astype(jnp.float32), np.sin(np.asarray(x, np.float64)), atol=1e-2
    )
    with jax.enable_x64(True):
        wide = np.linspace(-3, 3, 50)
        np.testing.assert_allclose(sine(jnp.asarray(wide)), np.sin(wide), atol=1e-15)


def test_eighth_turn_is_cos_and_sin_within_rounding(rng):
    x = rng.uniform(-np.pi / 4, np.pi / 4, 100_000).astype(np.float32)
    c, s = jax.jit(eighth_turn)(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(c, np.cos(exact), atol=7e-8)
    np.testing.assert_allclose(s, np.sin(exact), atol=7e-8)
    slope = jax.jit(jax.vmap(jax.grad(lambda v: eighth_turn(v)[0] + 2 * eighth_turn(v)[1])))
    np.testing.assert_allclose(slope(x), 2 * np.cos(exact) - np.sin(exact), atol=3e-7)


def test_stays_within_one_for_any_argument():
    x = np.float32(10) ** np.arange(0, 38, dtype=np.float32)
    for function in (sine, cosine):
        assert np.abs(np.asarray(jax.jit(function)(np.concatenate([x, -x])))).max() <= 1 + 2e-7
