"""Random Fourier features of the unit vector: fine scales without a seam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.checks import Checked, Checks
from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.encoders.positional.base import FROZEN, OWNER, EncodingModule, all_positive
from earth_embed.encoders.positional.plain import unit_vector
from earth_embed.encoders.sine import cosine, sine


@dataclass(frozen=True)
class SphereFourier(Checked, owner=OWNER):
    """Random Fourier features of the unit vector: several scales, no seam."""

    frequencies: int = 256
    """Random frequencies per scale; each makes two features."""
    wavelengths_km: tuple[float, ...] = (20_000.0, 5000.0, 1250.0, 300.0)
    """Typical wavelength of each scale, in km."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("frequencies", self.frequencies, 1)
        all_positive(checks, "wavelengths_km", self.wavelengths_km)

    @property
    def scales(self) -> int:
        """Number of scales."""
        return len(self.wavelengths_km)

    def module(self, **options: Any) -> SphereFourierEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return SphereFourierEncoding(self, **options)


class SphereFourierEncoding(EncodingModule):
    """cos 2πBu and sin 2πBu of the unit vector u, with F rows B ~ N(0, (R/ℓ)² I) for each ℓ.

    A row of length R/ℓ is a plane wave in space with wavelength ℓ, evaluated on the sphere.
    Features are ordered by scale: F cosines, then F sines.

    Parameters: 3 F per scale, drawn once and frozen. No seam.

    References:
        Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions"
        (arXiv 2006.10739), on the sphere.
    """

    config: SphereFourier

    @property
    def width(self) -> int:
        """2 F features per scale."""
        return self.config.scales * 2 * self.config.frequencies

    @nn.compact
    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, width)."""
        sigmas = [EARTH_RADIUS_KM / length for length in self.config.wavelengths_km]
        shape = (len(sigmas), self.config.frequencies, 3)
        frequencies = self.param(f"{FROZEN}frequencies", random_frequencies(sigmas), shape)
        u = unit_vector(lonlat)  # (N, 3)
        turns = jnp.einsum("nd,sfd->nsf", u, frequencies, precision="highest")
        return waves(turns - jnp.round(turns))


def waves(turns: jax.Array) -> jax.Array:
    """Computes cos 2πp and sin 2πp of phases p.

    Args:
        turns: (N, S, F) phases of S scales in turns, reduced to less than about one turn: 2πp
            loses as many digits as p has before the decimal point.

    Returns:
        (N, S · 2F): for each scale, F cosines and then F sines.
    """
    angle = 2 * jnp.pi * turns
    both = jnp.concatenate([cosine(angle), sine(angle)], axis=-1)  # (N, S, 2F)
    return both.reshape(both.shape[0], -1)


def random_frequencies(sigmas: Sequence[float]) -> nn.initializers.Initializer:
    """Initialiser N(0, σ²) with one σ per entry of the first axis."""

    def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.normal(key, shape, dtype) * jnp.asarray(sigmas, dtype)[:, None, None]

    return init
