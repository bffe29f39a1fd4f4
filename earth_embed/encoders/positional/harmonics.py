"""Spherical harmonics as features, with a low-pass filter that can be changed at inference."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.checks import Checked, Checks
from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.encoders.harmonics.basis import (
    degree_and_order,
    harmonics_dense,
    satclip_factors,
)
from earth_embed.encoders.positional.base import OWNER, EncodingModule


@dataclass(frozen=True)
class SphericalHarmonics(Checked, owner=OWNER):
    """Real spherical harmonics, as in SatCLIP."""

    degree: int = 10
    """Number L of degrees l = 0 … L−1, which make L² features. Low is smooth."""
    normalisation: Literal["orthonormal", "satclip"] = "orthonormal"
    """Orthonormal functions, or those with the factors and signs of SatCLIP's released weights."""
    low_pass_km: float = 0.0
    """Standard deviation in km of a heat kernel that smooths the harmonics (0: none)."""
    learnable_low_pass: bool = False
    """Whether to train the low-pass, starting at low_pass_km."""
    satclip_polynomials: bool = False
    """Whether to add the rounding errors of SatCLIP's polynomials, as its L = 40 weights need."""

    def _check(self, checks: Checks) -> None:
        checks.expect(1 <= self.degree <= 1024, "degree", self.degree, "1 … 1024")
        checks.at_least("low_pass_km", self.low_pass_km, 0)
        if self.learnable_low_pass:
            checks.positive("low_pass_km", self.low_pass_km)
        if self.satclip_polynomials:
            checks.expect(
                self.normalisation == "satclip",
                "normalisation",
                self.normalisation,
                "'satclip' with satclip_polynomials",
            )
            checks.expect(self.degree <= 40, "degree", self.degree, "1 … 40, as released")

    def module(self, **options: Any) -> HarmonicsEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return HarmonicsEncoding(self, **options)


class HarmonicsEncoding(EncodingModule):
    """c_lm · exp(−l(l+1) t) · Y_lm(λ, φ) for l = 0 … L−1, m = −l … l, in column l² + l + m.

    c_lm is 1, or `satclip_factors` for SatCLIP's released weights.

    The low-pass is the heat kernel on the sphere: after time t, a bell with standard deviation
    σ = R √(2t) along each axis, R the Earth's radius. The variances of two low-passes add up. Only
    the harmonics are smoothed; the network after them still makes higher frequencies.

    Parameters: none, or ln σ if the low-pass is learnable. No seam.

    References:
        SatCLIP (arXiv 2311.17179); Bülow 2004, "Spherical diffusion for 3D surface smoothing".
    """

    config: SphericalHarmonics

    @property
    def width(self) -> int:
        """L² features."""
        return self.config.degree**2

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
    """Lazy features: scaled harmonics whose product with a kernel never builds the (N, L²) matrix.

    Attributes:
        lonlat: (N, 2), degrees.
        degree: Number L of degrees.
        factor: (L²,) one factor per harmonic, or None for 1.
        rounded: Whether zonal harmonics have SatCLIP's rounding errors.
        dtype: Data type of the product.
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
        """The same features for products in another dtype."""
        return dataclasses.replace(self, dtype=dtype)

    def __matmul__(self, kernel: jax.Array) -> jax.Array:
        """The product with a kernel (L², m): (N, m). Factors scale the kernel, not each place."""
        if self.factor is not None:
            kernel = self.factor.astype(kernel.dtype)[:, None] * kernel
        product = harmonics_dense(self.lonlat, kernel.astype(self.dtype), self.degree)
        if self.rounded:
            ell = np.arange(self.degree)
            rounding = zonal_rounding(self.lonlat[:, 1], self.degree).astype(self.dtype)
            product = product + rounding @ kernel[ell * (ell + 1)]
        return product


_PI = Decimal("3.141592653589793238462643383279502884197")


def zonal_rounding(latitudes: jax.Array, degree: int) -> jax.Array:
    """δ_l(sin φ)/π for l = 0 … L−1: what SatCLIP's rounding adds to the orthonormal Y_l0.

    The factor π of SatCLIP's zonal functions is divided out. SatCLIP evaluates them at
    cos θ = −sin φ; the resulting (−1)^l is part of `satclip_factors`.

    Args:
        latitudes: (N,) degrees, float32.
        degree: Number L of degrees.

    Returns:
        (N, L) float32.
    """
    x = jnp.sin(jnp.radians(latitudes))[:, None]
    first = np.arange(degree)[None, :] == 0
    powers = jnp.cumprod(jnp.where(first, 1.0, x), axis=1)  # (N, L)
    return powers @ jnp.asarray(coefficient_errors(degree) / np.pi, jnp.float32)


@functools.cache
def coefficient_errors(degree: int) -> np.ndarray:
    """Errors c' − c of SatCLIP's printed coefficients: (L, L) float64, xᵏ of δ_l in [k, l].

        P_l(x) = 2⁻ˡ Σ_j (−1)^j C(l, j) C(2l−2j, l) x^(l−2j)

    c is a coefficient of P_l times N = √((2l+1)π/4), and c' is c as SatCLIP printed it, to 15
    digits. Before that, N and the product were rounded to 53 bits. The order of these roundings,
    repeated here, decides a few last digits.
    """
    errors = np.zeros((degree, degree))
    with localcontext() as context:
        context.prec = 40
        for ell in range(degree):
            exact = ((2 * ell + 1) * _PI / 4).sqrt()
            rounded = math.sqrt((2 * ell + 1) / 4) * math.sqrt(math.pi)
            for j in range(ell // 2 + 1):
                integer = (-1) ** j * math.comb(ell, j) * math.comb(2 * ell - 2 * j, ell)
                printed = Decimal(f"{rounded * (integer / 2**ell):.15g}")
                errors[ell - 2 * j, ell] = printed - exact * integer / 2**ell
    return errors
