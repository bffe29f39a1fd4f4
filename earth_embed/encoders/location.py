"""The location encoder: (lon, lat) in degrees → positional encoding → network → embedding."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.config import Combined, Location, LocationConfig
from earth_embed.encoders.networks import build_network
from earth_embed.encoders.positional import build_encoding
from earth_embed.keys import named_key


class SingleEncoder(nn.Module):
    """One encoding and the network on top of it.

    Attributes:
        config: The encoding, the network and the width of the embedding.
        dtype: Type of the matrix products; encodings are computed in float32 always.
        smoothing_km: Run-time low-pass of spherical harmonics.
    """

    config: LocationConfig
    dtype: Any = jnp.float32
    smoothing_km: float = 0.0

    @nn.compact
    def __call__(self, lonlat: jax.Array, train: bool = False) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, features) float32."""
        encoded = build_encoding(self.config.encoding, self.smoothing_km)(lonlat)
        return build_network(self.config, self.dtype)(encoded, train).astype(jnp.float32)

    @property
    def flops(self) -> int:
        """FLOPs for one place."""
        encoding = build_encoding(self.config.encoding)
        return encoding.flops + build_network(self.config, self.dtype).flops(encoding.width)


class CombinedEncoder(nn.Module):
    """The sum of several encoders' embeddings, or all of them side by side.

    Attributes:
        config: The encoders.
        dtype: As in `SingleEncoder`, like smoothing_km.
        smoothing_km: See dtype.
    """

    config: Combined
    dtype: Any = jnp.float32
    smoothing_km: float = 0.0

    @nn.compact
    def __call__(self, lonlat: jax.Array, train: bool = False) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, features) float32."""
        embeddings = [
            build_location(part, self.dtype, self.smoothing_km, name=f"part_{i}")(lonlat, train)
            for i, part in enumerate(self.config.parts)
        ]
        if self.config.how == "concatenation":
            return jnp.concatenate(embeddings, axis=-1)
        return sum(embeddings[1:], start=embeddings[0])

    @property
    def flops(self) -> int:
        """FLOPs for one place."""
        parts = sum(build_location(part).flops for part in self.config.parts)
        sums = len(self.config.parts) - 1 if self.config.how == "sum" else 0
        return parts + sums * self.config.features


LocationModule: TypeAlias = SingleEncoder | CombinedEncoder


def build_location(
    location: Location,
    dtype: Any = jnp.float32,
    smoothing_km: float = 0.0,
    name: str | None = None,
) -> LocationModule:
    """The module of a location encoder."""
    kind: Any = CombinedEncoder if isinstance(location, Combined) else SingleEncoder
    return kind(location, dtype, smoothing_km, name=name)


def init_location(location: Location, seed: int) -> Any:
    """The location encoder's initial parameters in a run of this seed."""
    key = named_key(seed, "init/location")
    variables = build_location(location).init(key, jnp.zeros((1, 2), jnp.float32))
    return variables.get("params", {})


def parameter_count(location: Location) -> int:
    """Number of parameters, those that never train among them."""
    shapes = jax.eval_shape(lambda: init_location(location, 0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
