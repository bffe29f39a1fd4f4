"""Augmentations: what they leave as it is, what they conserve, and an independent reference."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from earth_embed.errors import ConfigError
from earth_embed.features.views import (
    ViewSettings,
    augment,
    gaussian_blur,
    random_blur,
    random_flips,
    random_resized_crop,
)

KEYS = jax.random.split(jax.random.key(3), 64)
BANDS = [1, 3, 12]


@pytest.fixture(params=BANDS)
def image(request, rng):
    return rng.uniform(0, 5000, (12, 9, request.param)).astype(np.float32)


def over_keys(function, image, *arguments):
    return np.asarray(jax.vmap(lambda key: function(key, image, *arguments))(KEYS))


def test_a_crop_of_everything_is_the_identity(image):
    found = random_resized_crop(KEYS[0], jnp.asarray(image), 1.0)
    np.testing.assert_allclose(found, image, rtol=1e-5)


def test_crops_of_a_ramp_are_ramps_within_it():
    """Of in[i, j] = (i, j) a crop is (top + h·i, left + w·j), and h·w the area that it keeps."""
    size, smallest = 64, 0.3
    ramp = np.stack(np.meshgrid(*2 * [np.arange(size)], indexing="ij"), -1).astype(np.float32)
    crops = over_keys(random_resized_crop, ramp, smallest)
    inner = crops[:, 4:-4, 4:-4]
    h, w = np.diff(inner[..., 0], axis=1), np.diff(inner[..., 1], axis=2)
    np.testing.assert_allclose(h, np.broadcast_to(h[:, :1, :1], h.shape), atol=1e-3)
    np.testing.assert_allclose(w, np.broadcast_to(w[:, :1, :1], w.shape), atol=1e-3)
    h, w = h[:, 0, 0], w[:, 0, 0]
    assert (h * w > smallest - 1e-3).all()
    assert (np.maximum(h, w) < 1 + 1e-3).all()
    assert (np.abs(np.log(w / h)) < np.log(4 / 3) + 1e-3).all()
    assert np.ptp(h * w) > 0.5
    assert crops.min() > -1e-2
    assert crops.max() < size - 1 + 1e-2


def test_flips_undo_themselves_and_are_of_four_kinds(image):
    once = over_keys(random_flips, image)
    twice = jax.vmap(random_flips)(KEYS, once)
    np.testing.assert_array_equal(twice, np.broadcast_to(image, twice.shape))
    kinds = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
    counts = [sum(np.array_equal(found, kind) for found in once) for kind in kinds]
    assert sum(counts) == len(KEYS)
    assert min(counts) >= 6


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_a_blur_is_scipys(image, sigma):
    expected = image.astype(np.float64)
    for axis in (0, 1):
        expected = gaussian_filter1d(expected, sigma, axis=axis, mode="reflect", radius=8)
    found = gaussian_blur(jnp.asarray(image), jnp.float32(sigma), 8)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(found.mean((0, 1)), image.mean((0, 1)), rtol=1e-5)


def test_a_blurred_constant_is_that_constant():
    constant = np.full((7, 5, 2), 1234.5, np.float32)
    found = over_keys(random_blur, constant, 2.0)
    np.testing.assert_allclose(found, np.broadcast_to(constant, found.shape), rtol=1e-6)


def test_every_second_image_is_blurred(image):
    found = over_keys(random_blur, image, 2.0)
    same = np.isclose(found, image, rtol=1e-3).all(axis=(1, 2, 3)).sum()
    assert 16 < same < 48


def test_without_any_an_image_stays(image):
    found = augment(KEYS[0], image, ViewSettings(2, 1.0, crop=1.0, flips=False, blur=0.0))
    np.testing.assert_array_equal(found, image)


def test_looks_are_pure_functions_of_the_key(image):
    see = jax.jit(jax.vmap(partial(augment, settings=ViewSettings(2)), in_axes=(0, None)))
    found = np.asarray(see(KEYS[:8], image))
    np.testing.assert_array_equal(found, see(KEYS[:8], image))
    assert found.shape == (8, *image.shape)
    assert found.dtype == np.float32
    assert len({look.tobytes() for look in found}) == 8
    slack = 1e-3 * image.max()
    assert (found > image.min() - slack).all()
    assert (found < image.max() + slack).all()


def test_settings_that_make_no_sense_are_told_together():
    with pytest.raises(ConfigError) as caught:
        ViewSettings(0, jitter_m=-1, crop=0.0, blur=0.05)
    for field in ("views", "jitter_m", "crop", "blur"):
        assert f"the views.{field} = " in str(caught.value)
    with pytest.raises(ConfigError, match="moves the augmented views alone"):
        ViewSettings(1, jitter_m=10)
