"""The location encoder: (lon, lat) in degrees → spherical harmonics → SIREN → embedding."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.config import LocationConfig
from earth_embed.encoders.siren import Siren
from earth_embed.encoders.spherical_harmonics import spherical_harmonics
from earth_embed.keys import named_key


class HarmonicSiren(nn.Module):
    """Real spherical harmonics followed by a SIREN (SatCLIP, arXiv 2311.17179).

    Smooth over the whole sphere: no seam at ±180° and none at the poles.

    Attributes:
        config: Degree, widths and frequencies.
        dtype: Type of the matrix products; the harmonics are computed in float32 always.
    """

    config: LocationConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lonlat: jax.Array, train: bool = False) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, features) float32."""
        config = self.config
        harmonics = spherical_harmonics(lonlat, config.degree)  # (N, L²)
        siren = Siren(
            hidden=config.hidden,
            features=config.features,
            w0_first=config.w0_first,
            w0_hidden=config.w0_hidden,
            dropout=config.dropout,
            dtype=self.dtype,
            name="siren",
        )
        return siren(harmonics, train).astype(jnp.float32)


def init_location(config: LocationConfig, seed: int) -> Any:
    """The location encoder's initial parameters in a run of this seed."""
    key = named_key(seed, "init/location")
    return HarmonicSiren(config).init(key, jnp.zeros((1, 2), jnp.float32))["params"]
