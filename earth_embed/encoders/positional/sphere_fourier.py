"""Random Fourier features of the unit vector: fine scales without a seam."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.config import SphereFourier
from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.encoders.positional.base import FROZEN, Encoding
from earth_embed.encoders.positional.plain import CartesianEncoding, unit_vector
from earth_embed.encoders.positional.waves import WAVE_FLOPS, random_frequencies, waves


class SphereFourierEncoding(Encoding):
    """cos 2πBu and sin 2πBu of the unit vector u, with F rows B ~ N(0, (R/ℓ)² I) for each ℓ.

    A row of length R/ℓ is a plane wave through space whose wavelength is ℓ, cut by the sphere.
    Features of one scale follow those of the last: F cosines, then F sines.

    Parameters: 3 F for each scale, drawn once and frozen. No seam.

    References:
        Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions"
        (arXiv 2006.10739), on the sphere.
    """

    config: SphereFourier

    @property
    def width(self) -> int:
        """2 F features a scale."""
        return self.config.scales * 2 * self.config.frequencies

    @property
    def flops(self) -> int:
        """For each frequency a product with u, 2 to reduce it, and the waves."""
        each = 8 + WAVE_FLOPS
        return CartesianEncoding.flops + self.config.scales * self.config.frequencies * each

    @nn.compact
    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, width)."""
        sigmas = [EARTH_RADIUS_KM / length for length in self.config.wavelengths_km]
        shape = (len(sigmas), self.config.frequencies, 3)
        frequencies = self.param(f"{FROZEN}frequencies", random_frequencies(sigmas), shape)
        u = unit_vector(lonlat)  # (N, 3)
        turns = jnp.einsum("nd,sfd->nsf", u, frequencies, precision="highest")
        return waves(turns - jnp.round(turns))
