"""Augmented views of a sample: SimCLR's crops, flips and blur, and jitter of its place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.checks import Checked, Checks
from earth_embed.coordinates import EARTH_RADIUS_KM, lonlat_of, unit_vector

SMALLEST_BLUR = 0.1
"""Smallest σ of a blur, pixels, as in SimCLR."""

HALF_CIRCUMFERENCE_M = 1000 * math.pi * EARTH_RADIUS_KM
"""Distance from a point to its antipode, metres."""

_RATIO = 4 / 3
"""Largest change of a crop's aspect ratio, relative to the image's."""

_BLURRED = 0.5
"""Probability that an image is blurred."""


@dataclass(frozen=True)
class ViewSettings(Checked, owner="the views"):
    """The views of each sample. The first is plain; the others are augmented at random."""

    views: int = 1
    """Number of views K of each sample: the plain one and K − 1 augmented ones."""
    jitter_m: float = 0.0
    """Move the place of an augmented view uniformly within a disc of this radius, metres."""
    crop: float = 0.2
    """Smallest fraction of the image's area that a random resized crop keeps; 1 keeps all."""
    flips: bool = True
    """Flip images left to right and top to bottom, each with probability ½."""
    blur: float = 2.0
    """Largest σ of a Gaussian blur, pixels, applied with probability ½; 0 for no blur."""
    seed: int = 0
    """Seed of the augmented views."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("views", self.views, 1)
        checks.at_least("seed", self.seed, 0)
        checks.expect(
            0 <= self.jitter_m <= HALF_CIRCUMFERENCE_M,
            "jitter_m",
            self.jitter_m,
            f"0 … {HALF_CIRCUMFERENCE_M:.0f} metres",
        )
        checks.expect(
            self.views > 1 or not self.jitter_m,
            "views",
            self.views,
            f"at least 2, since jitter_m = {self.jitter_m} moves the augmented views alone",
        )
        checks.expect(0 < self.crop <= 1, "crop", self.crop, "a part of the area in (0, 1]")
        checks.expect(
            self.blur == 0 or SMALLEST_BLUR <= self.blur < math.inf,
            "blur",
            self.blur,
            f"0, or σ ≥ {SMALLEST_BLUR} pixels",
        )
        checks.expect(
            self.views == 1 or self.jitter_m > 0 or self.crop < 1 or self.flips or self.blur > 0,
            "views",
            self.views,
            "1, as all views would be the same",
        )


def augment(key: jax.Array, image: jax.Array, settings: ViewSettings) -> jax.Array:
    """Applies a random resized crop, flips and a blur to an image (H, W, C) float32.

    These are SimCLR's augmentations without the colour distortions, since the value of a
    satellite's band is a measurement.

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
    """Crops a rectangle and resizes it, linearly, to the size of the image.

    The crop keeps a fraction s ~ U(smallest, 1) of the area. Its height h and width w, as fractions
    of the image's, have the ratio r = w / h with log r ~ U(±log 4/3), limited to crops that fit:

        h = √(s / r) ≤ 1 and w = √(s · r) ≤ 1   ⇔   s ≤ r ≤ 1 / s

    No draw is rejected, and s = 1 is the identity.

    Args:
        key: The image's key.
        image: (H, W, C) float32.
        smallest: Smallest fraction of the area, in (0, 1].

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
    """Flips an image (H, W, C) left to right and top to bottom, each with probability ½.

    Seen from above there is no up, so both flips are valid, unlike for photographs.
    """
    across, down = jax.random.bernoulli(key, 0.5, (2,))
    image = jnp.where(across, image[:, ::-1], image)
    return jnp.where(down, image[::-1], image)


def random_blur(key: jax.Array, image: jax.Array, largest: float) -> jax.Array:
    """Blurs an image (H, W, C) float32 with probability ½, with σ ~ U(0.1, largest) pixels.

    References:
        Chen et al. 2020 (arXiv 2002.05709), appendix A: σ ~ U(0.1, 2).
    """
    whether, how = jax.random.split(key)
    sigma = jax.random.uniform(how, minval=SMALLEST_BLUR, maxval=largest)
    blurred = gaussian_blur(image, sigma, math.ceil(4 * largest))
    return jnp.where(jax.random.bernoulli(whether, _BLURRED), blurred, image)


def gaussian_blur(image: jax.Array, sigma: jax.Array, radius: int) -> jax.Array:
    """Convolves each band of an image (H, W, C) float32 with a Gaussian; σ > 0, in pixels.

        out[i] = Σ_t w_t · in[i + t],   w_t ∝ exp(−t² / 2σ²),   |t| ≤ radius,   Σ w = 1

    The image is padded by reflection that repeats the edge pixels. The blur is then a symmetric
    matrix whose rows, and therefore columns, sum to 1: it keeps the mean of each band.
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


def jitter(keys: jax.Array, lonlat: np.ndarray, metres: float) -> np.ndarray:
    """Moves each place to one drawn uniformly from the disc (spherical cap) around it.

    A place p, with unit vectors n to the north and e to the east, is rotated by δ at bearing β:

        p' = cos δ · p + sin δ · (cos β · n + sin β · e),   β ~ U(0, 2π)
        area within δ ∝ sin²(δ/2)   ⇒   sin(δ/2) = √u · sin(θ/2),   u ~ U(0, 1),   θ = metres / R

    No direction is preferred, also at the poles and across the antimeridian. The computation is
    in float64, since a step of float32 degrees is up to 1.7 m.

    Args:
        keys: (N,) keys, one per place.
        lonlat: (N, 2), degrees.
        metres: Radius of the disc along the surface, up to half the circumference.

    Returns:
        (N, 2) float64 degrees, lon in [−180, 180].
    """
    drawn = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
    u, turn = np.asarray(drawn, np.float64).T
    theta = metres / (1000 * EARTH_RADIUS_KM)
    delta = 2 * np.arcsin(np.sqrt(u) * np.sin(theta / 2))[:, None]
    beta = 2 * np.pi * turn[:, None]
    lon, lat = np.radians(np.asarray(lonlat, np.float64)).T
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=-1)
    tangent = np.cos(beta) * north + np.sin(beta) * east
    return lonlat_of(np.cos(delta) * unit_vector(lonlat) + np.sin(delta) * tangent)
