"""The Equal Earth projection and random Fourier features of it, with extended precision.

GeoCLIP's finest waves have up to 1000 cycles over half the map: an error in the last place of a
float32 coordinate or phase would show in the embedding. Both are therefore sums of two float32
numbers.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.checks import Checked, Checks
from earth_embed.encoders.positional.base import FROZEN, OWNER, EncodingModule, all_positive
from earth_embed.encoders.positional.sphere_fourier import random_frequencies, waves


@dataclass(frozen=True)
class EqualEarth:
    """The Equal Earth projection's plane coordinates (x, y): 2 features."""

    def module(self, **options: Any) -> EqualEarthEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return EqualEarthEncoding(self, **options)


@dataclass(frozen=True)
class EqualEarthFourier(Checked, owner=OWNER):
    """Random Fourier features of the Equal Earth projection (GeoCLIP)."""

    frequencies: int = 256
    """Random frequencies per scale; each makes two features."""
    sigmas: tuple[float, ...] = (1.0, 16.0, 256.0)
    """Standard deviation σ of each scale's frequencies, in cycles per half the map's width."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("frequencies", self.frequencies, 1)
        all_positive(checks, "sigmas", self.sigmas)

    @property
    def scales(self) -> int:
        """Number of scales."""
        return len(self.sigmas)

    def module(self, **options: Any) -> EqualEarthFourierEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return EqualEarthFourierEncoding(self, **options)


A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796

SCALE = 66.50336 / 180
"""GeoCLIP's: x is ±1 on the equator at ±180°."""


class EqualEarthEncoding(EncodingModule):
    """(x, y) of the Equal Earth projection; see `equal_earth`. Parameters: none.

    Seam: x jumps from 1 to −1 at the antimeridian, and the poles are lines.
    """

    seam = "antimeridian, poles"
    config: EqualEarth
    width = 2

    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, 2)."""
        high, low = equal_earth(lonlat)
        return high + low


class EqualEarthFourierEncoding(EncodingModule):
    """cos 2πBv and sin 2πBv of v = (x, y), with F rows B ~ N(0, σ² I) for each scale σ.

    Features are ordered by scale: F cosines, then F sines.

    Parameters: 2 F per scale, drawn once and frozen. Seam: as in `EqualEarthEncoding`.

    References:
        GeoCLIP (arXiv 2309.16020): σ = 1, 16 and 256 with F = 256, each with its own network.
        Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions".
    """

    seam = "antimeridian, poles"
    config: EqualEarthFourier

    @property
    def width(self) -> int:
        """2 F features per scale."""
        return self.config.scales * 2 * self.config.frequencies

    @nn.compact
    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, width)."""
        sigmas, count = self.config.sigmas, self.config.frequencies
        start = random_frequencies(sigmas)
        frequencies = self.param(f"{FROZEN}frequencies", start, (len(sigmas), count, 2))
        # With B₁ = B rounded to 12 bits below 8σ and v₁ = v rounded to 11 bits, B₁v₁ is exact:
        #     Bv mod 1 = (B₁v₁ mod 1) + B₁(v − v₁) + (B − B₁)v      the last two terms are small
        high, low = equal_earth(lonlat)  # (N, 2) each
        v = high + low
        coarse = jnp.round(v * 2**11) / 2**11
        fine = (high - coarse) + low
        phases = []
        for sigma, b in zip(sigmas, frequencies, strict=True):  # (F, 2)
            unit = 2.0 ** (math.ceil(math.log2(8 * sigma)) - 12)
            b_coarse = jnp.round(b / unit) * unit
            product = functools.partial(jnp.matmul, precision="highest")
            whole = product(coarse, b_coarse.T)
            rest = product(fine, b_coarse.T) + product(v, (b - b_coarse).T)
            phases.append((whole - jnp.round(whole)) + rest)
        return waves(jnp.stack(phases, axis=1))


def equal_earth(lonlat: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The Equal Earth projection (x, y) as an unevaluated sum of two float32 numbers.

        sin θ = (√3/2) sin φ
        x = 2√3 λ cos θ / 3(9 A₄θ⁸ + 7 A₃θ⁶ + 3 A₂θ² + A₁) = λ g(φ)
        y = A₄θ⁹ + A₃θ⁷ + A₂θ³ + A₁θ

    In float32 these formulas are off by 2.5e-7, four units in the last place. But g and y are
    smooth functions of φ alone: around each whole degree they are cubics, fitted in float64.

    Args:
        lonlat: (N, 2) degrees, float32.

    Returns:
        Two arrays (N, 2), high and low, whose sum is (x, y) times `SCALE` to about 1e-9.

    References:
        Šavrič, Patterson & Jenny 2018, "The Equal Earth map projection", IJGIS 33(3).
    """
    lon, lat = lonlat.T
    whole_lon, whole_lat = jnp.round(lonlat).T
    table = jnp.asarray(_cubics())[whole_lat.astype(jnp.int32) + 90]  # (N, 2, 5)
    delta = (lat - whole_lat)[:, None]  # exact
    high, c0, c1, c2, c3 = jnp.moveaxis(table, -1, 0)  # (N, 2) each: of g and of y
    low = c0 + delta * (c1 + delta * (c2 + delta * c3))
    x_high = whole_lon * high[:, 0]  # exact: 8 bits times 16
    x_low = (lon - whole_lon) * high[:, 0] + lon * low[:, 0]
    return jnp.stack([x_high, high[:, 1]], axis=-1), jnp.stack([x_low, low[:, 1]], axis=-1)


@functools.cache
def _cubics() -> np.ndarray:
    """For g and y at each whole degree: value rounded to 2⁻²⁴, its remainder, c₁, c₂, c₃."""
    nodes = np.cos(np.pi * (np.arange(4) + 0.5) / 4) / 2  # Chebyshev nodes on ±½°
    lat = np.radians(np.arange(-90, 91)[None, :] + nodes[:, None])  # (4, 181)
    theta = np.arcsin(np.sqrt(3) / 2 * np.sin(lat))
    slope = 9 * A4 * theta**8 + 7 * A3 * theta**6 + 3 * A2 * theta**2 + A1
    g = np.radians(2 * np.sqrt(3) * np.cos(theta) / (3 * slope))
    y = A4 * theta**9 + A3 * theta**7 + A2 * theta**3 + A1 * theta
    values = SCALE * np.stack([g, y], axis=-1)  # (4, 181, 2)
    powers = np.vander(nodes, increasing=True)
    cubic = np.moveaxis(np.linalg.solve(powers, values.reshape(4, -1)).reshape(values.shape), 0, -1)
    high = np.round(cubic[..., :1] * 2**24) / 2**24
    return np.concatenate([high, cubic[..., :1] - high, cubic[..., 1:]], axis=-1).astype(np.float32)
