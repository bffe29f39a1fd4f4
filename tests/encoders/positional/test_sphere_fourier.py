import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.config import SphereFourier
from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from tests.conftest import random_places
from tests.encoders.positional.features import draw, encode


def test_features_are_the_formula(rng):
    encoding = SphereFourier(32, (20_000.0, 100.0))
    lonlat = random_places(rng, 200).astype(np.float32)
    variables = draw(encoding)
    b = np.asarray(variables["params"]["frozen_frequencies"], np.float64)
    phase = 2 * np.pi * np.einsum("nd,sfd->nsf", unit_vector(lonlat), b)
    expected = np.concatenate([np.cos(phase), np.sin(phase)], axis=-1).reshape(200, -1)
    np.testing.assert_allclose(encode(encoding, lonlat, variables), expected, atol=3e-4)


def test_products_are_a_gaussian_kernel_of_the_chord(rng):
    """E cos 2πB(u − v) = exp(−2π² (R/ℓ)² |u − v|²), wherever the two places lie."""
    count, wavelength = 8192, 9000.0
    encoding = SphereFourier(count, (wavelength,))
    init = jax.jit(
        lambda: encoding.module(name="encoding").init(jax.random.key(1), jnp.zeros((1, 2)))
    )
    a = random_places(rng, 60)
    b = np.clip(a + rng.normal(scale=8, size=a.shape), -90, 90)
    variables = init()
    found = (encode(encoding, a, variables) * encode(encoding, b, variables)).sum(axis=1) / count
    chord = np.linalg.norm(unit_vector(a) - unit_vector(b), axis=1)
    kernel = np.exp(-2 * np.pi**2 * (EARTH_RADIUS_KM / wavelength) ** 2 * chord**2)
    assert kernel.min() < 0.3 < 0.9 < kernel.max()
    np.testing.assert_allclose(found, kernel, atol=5 / np.sqrt(count))
