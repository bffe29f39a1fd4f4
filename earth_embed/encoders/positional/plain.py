"""The simplest encodings: the unit vector, and lon and lat on circles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from earth_embed.encoders.positional.base import EncodingModule


@dataclass(frozen=True)
class Wrap:
    """Sine and cosine of lon and of lat: 4 features."""

    def module(self, **options: Any) -> WrapEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return WrapEncoding(self, **options)


@dataclass(frozen=True)
class Cartesian:
    """The unit vector: 3 features."""

    def module(self, **options: Any) -> CartesianEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return CartesianEncoding(self, **options)


def unit_vector(lonlat: jax.Array) -> jax.Array:
    """Points on the unit sphere, (cos φ cos λ, cos φ sin λ, sin φ): (N, 3) of (N, 2) degrees."""
    lon, lat = jnp.radians(lonlat).T
    return jnp.stack([jnp.cos(lat) * jnp.cos(lon), jnp.cos(lat) * jnp.sin(lon), jnp.sin(lat)], -1)


class CartesianEncoding(EncodingModule):
    """The unit vector; see `unit_vector`. Parameters: none. No seam."""

    config: Cartesian
    width = 3

    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, 3)."""
        return unit_vector(lonlat)


class WrapEncoding(EncodingModule):
    """(sin λ, cos λ, sin φ, cos φ). Parameters: none. Seam: the poles have many longitudes.

    Latitude is not stretched to a full turn, as by sin(πφ/90°), which would give both poles the
    same code.

    References:
        Mac Aodha et al. 2019, "Presence-Only Geographical Priors" (arXiv 1906.05272).
    """

    seam = "poles"
    config: Wrap
    width = 4

    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, 4)."""
        lon, lat = jnp.radians(lonlat).T
        return jnp.stack([jnp.sin(lon), jnp.cos(lon), jnp.sin(lat), jnp.cos(lat)], axis=-1)
