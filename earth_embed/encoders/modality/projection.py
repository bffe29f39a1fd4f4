"""A tower for precomputed features, such as those of a frozen image or text encoder."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.encoders.modality.registry import register


@register("projection")
class ProjectionTower(nn.Module):
    """`depth` dense layers; one is the linear head that SatCLIP trains on a frozen tower.

    Attributes:
        features: Dimension D of the output.
        width: Width of the hidden layers.
        depth: Dense layers, the last included.
        dtype: Type of the matrix products.
    """

    features: int
    width: int = 64
    depth: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, ...) features, flattened, to (B, features)."""
        x = sample.reshape(sample.shape[0], -1)
        for _ in range(self.depth - 1):
            x = nn.gelu(nn.Dense(self.width, dtype=self.dtype)(x))
        return nn.Dense(self.features, dtype=self.dtype)(x)
