"""Spherical harmonics as features, with a low-pass that is a dial at inference."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.config import SphericalHarmonics
from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.encoders.harmonics import (
    degree_and_order,
    harmonics_dense,
    harmonics_flops,
    satclip_factors,
)
from earth_embed.encoders.positional.base import Encoding
from earth_embed.encoders.positional.satclip_polynomials import zonal_rounding


class HarmonicsEncoding(Encoding):
    """c_lm · exp(−l(l+1) t) · Y_lm(λ, φ) for l = 0 … L−1, m = −l … l, in column l² + l + m.

    c_lm is 1, or for the weights that SatCLIP released (−1)^l · (π where m = 0, else 1): there the
    angles are measured from 180° W and the south pole, and a bracket slip scales the zonal ones.

    The low-pass is the heat kernel on the sphere. After time t it is a bell whose standard
    deviation along each axis is σ = R √(2t), R the Earth's radius; two in a row add their squares.
    It filters the harmonics alone: the network after them still makes higher frequencies.

    Parameters: none; ln σ where the low-pass is learnable. No seam.

    References:
        SatCLIP (arXiv 2311.17179); Bülow 2004, "Spherical diffusion for 3D surface smoothing".
    """

    config: SphericalHarmonics

    @property
    def width(self) -> int:
        """L² features."""
        return self.config.degree**2

    @property
    def flops(self) -> int:
        """Of the harmonics as they are computed for a dense layer."""
        return harmonics_flops(self.config.degree)

    @nn.compact
    def __call__(self, lonlat: jax.Array) -> Harmonics:
        """Maps (N, 2) float32 degrees to (N, L²), lazily."""
        config = self.config
        ell, _ = degree_and_order(config.degree)
        factor = None  # (L²,): 1 throughout
        if config.normalisation == "satclip":
            factor = jnp.asarray(satclip_factors(config.degree), jnp.float32)
        variance: Any = config.low_pass_km**2 + self.smoothing_km**2  # σ², km²
        if config.learnable_low_pass:
            start = nn.initializers.constant(np.log(config.low_pass_km))
            trained = self.param("log_low_pass_km", start, (), jnp.float32)
            variance = jnp.exp(2 * trained) + self.smoothing_km**2
        if config.learnable_low_pass or variance > 0:
            t = variance / (2 * EARTH_RADIUS_KM**2)
            damping = jnp.exp(jnp.asarray(-ell * (ell + 1.0), jnp.float32) * t)
            factor = damping if factor is None else factor * damping
        return Harmonics(lonlat, config.degree, factor, config.satclip_polynomials)


@dataclass(frozen=True)
class Harmonics:
    """Harmonics times a factor for each, that meet a kernel without existing as a matrix.

    Attributes:
        lonlat: (N, 2), degrees.
        degree: Number L of degrees.
        factor: (L²,), or None for 1.
        rounded: Whether the zonal ones have SatCLIP's rounding.
        dtype: Type of the product.
    """

    lonlat: jax.Array
    degree: int
    factor: jax.Array | None = None
    rounded: bool = False
    dtype: Any = jnp.float32

    @property
    def shape(self) -> tuple[int, int]:
        """(N, L²)."""
        return self.lonlat.shape[0], self.degree**2

    def astype(self, dtype: Any) -> Harmonics:
        """The same, for products in this type."""
        return dataclasses.replace(self, dtype=dtype)

    def __matmul__(self, kernel: jax.Array) -> jax.Array:
        """The product with a kernel (L², m): the factors scale the kernel's rows, which is free."""
        if self.factor is not None:
            kernel = self.factor.astype(kernel.dtype)[:, None] * kernel
        product = harmonics_dense(self.lonlat, kernel.astype(self.dtype), self.degree)
        if self.rounded:
            ell = np.arange(self.degree)
            rounding = zonal_rounding(self.lonlat[:, 1], self.degree).astype(self.dtype)
            product = product + rounding @ kernel[ell * (ell + 1)]
        return product
