"""Augmentations of images: pure functions of (key, image), for any number of bands.

An image is (H, W, C) float32, in any units, and keeps its shape. `jax.vmap` maps a function over a
batch, with a key for each image.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from earth_embed.config.views import SMALLEST_BLUR, ViewSettings

_RATIO = 4 / 3
"""Most elongated crop, as long against its height as the image is, times this or its inverse."""
_BLURRED = 0.5
"""Probability that an image is blurred."""


def augment(key: jax.Array, image: jax.Array, settings: ViewSettings) -> jax.Array:
    """A random resized crop, flips and a blur, one after the other.

    SimCLR's, without its distortions of colour: a satellite's band is a measurement.

    Args:
        key: Of this image.
        image: (H, W, C) float32.
        settings: Which of them, and how much.

    Returns:
        (H, W, C) float32.

    References:
        Chen et al. 2020 (arXiv 2002.05709), appendix A; Klemmer et al. 2023 (arXiv 2311.17179).
    """
    cut, mirror, smooth = jax.random.split(key, 3)
    if settings.crop < 1:
        image = random_resized_crop(cut, image, settings.crop)
    if settings.flips:
        image = random_flips(mirror, image)
    if settings.blur:
        image = random_blur(smooth, image, settings.blur)
    return image


def random_resized_crop(key: jax.Array, image: jax.Array, smallest: float) -> jax.Array:
    """Cuts out a rectangle and brings it back to the image's size, linearly.

    Of the area it keeps s ~ U(smallest, 1); width over height, each as a part of the image's, is
    r, log r ~ U(±log 4/3) as far as the rectangle fits:

        h = √(s / r) ≤ 1 and w = √(s · r) ≤ 1   ⇔   s ≤ r ≤ 1 / s

    so that no draw is rejected, and s = 1 is the identity.

    Args:
        key: Of this image.
        image: (H, W, C) float32.
        smallest: Smallest part of the area, in (0, 1].

    Returns:
        (H, W, C) float32.

    References:
        Szegedy et al. 2014 (arXiv 1409.4842); Chen et al. 2020 (arXiv 2002.05709), appendix A.
    """
    area_key, ratio_key, place_key = jax.random.split(key, 3)
    area = jax.random.uniform(area_key, minval=smallest, maxval=1.0)
    widest = jnp.minimum(math.log(_RATIO), -jnp.log(area))
    ratio = jnp.exp(widest * jax.random.uniform(ratio_key, minval=-1.0, maxval=1.0))
    part = jnp.minimum(jnp.sqrt(jnp.stack([area / ratio, area * ratio])), 1.0)  # (2,): h, w
    start = jax.random.uniform(place_key, (2,)) * (1 - part)
    sides = jnp.array(image.shape[:2], jnp.float32)
    return jax.image.scale_and_translate(
        image, image.shape, (0, 1), 1 / part, -start * sides / part, "linear"
    )


def random_flips(key: jax.Array, image: jax.Array) -> jax.Array:
    """Mirrors an image (H, W, C) left to right and top to bottom, each with probability ½.

    Seen from above there is no up: both are fair, unlike in photographs.
    """
    across, down = jax.random.bernoulli(key, 0.5, (2,))
    image = jnp.where(across, image[:, ::-1], image)
    return jnp.where(down, image[::-1], image)


def random_blur(key: jax.Array, image: jax.Array, largest: float) -> jax.Array:
    """Blurs with probability ½, σ ~ U(0.1, largest) pixels.

    Args:
        key: Of this image.
        image: (H, W, C) float32.
        largest: Largest σ, pixels.

    Returns:
        (H, W, C) float32.

    References:
        Chen et al. 2020 (arXiv 2002.05709), appendix A: σ ~ U(0.1, 2).
    """
    whether, how = jax.random.split(key)
    sigma = jax.random.uniform(how, minval=SMALLEST_BLUR, maxval=largest)
    blurred = gaussian_blur(image, sigma, math.ceil(4 * largest))
    return jnp.where(jax.random.bernoulli(whether, _BLURRED), blurred, image)


def gaussian_blur(image: jax.Array, sigma: jax.Array, radius: int) -> jax.Array:
    """Convolves each band with a Gaussian.

        out[i] = Σ_t w_t · in[i + t],   w_t ∝ exp(−t² / 2σ²),   |t| ≤ radius,   Σ w = 1

    The image goes on mirrored at its edges, edge pixels twice. The blur is then a symmetric matrix
    with rows that sum to 1, hence columns too: the mean of a band stays.

    Args:
        image: (H, W, C) float32.
        sigma: σ > 0, pixels.
        radius: Where the kernel ends, pixels.

    Returns:
        (H, W, C) float32.
    """
    taps = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
    weights = jax.nn.softmax(-0.5 * (taps / sigma) ** 2)
    for axis in (0, 1):
        length = image.shape[axis]
        edges = [(radius, radius) if axis == other else (0, 0) for other in range(image.ndim)]
        longer = jnp.pad(image, edges, mode="symmetric")
        image = sum(
            (
                weight * jax.lax.slice_in_dim(longer, start, start + length, axis=axis)
                for start, weight in enumerate(weights)
            ),
            start=jnp.zeros_like(image),
        )
    return image
