"""A tower for precomputed features, such as those of a frozen image or text encoder."""

from __future__ import annotations

import flax.linen as nn
import jax

from earth_embed.encoders.modality.registry import Tower, register


@register("projection")
class ProjectionTower(Tower):
    """`depth` dense layers; one is the linear head that SatCLIP trains on a frozen tower."""

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, ...) features, flattened, to (B, features)."""
        x = sample.reshape(sample.shape[0], -1)
        for _ in range(self.depth - 1):
            x = nn.gelu(nn.Dense(self.width, dtype=self.dtype)(x))
        return nn.Dense(self.features, dtype=self.dtype)(x)
