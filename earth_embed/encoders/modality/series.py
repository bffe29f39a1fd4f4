"""A tower for periodic series, such as the twelve months of a year."""

from __future__ import annotations

import flax.linen as nn
import jax

from earth_embed.encoders.modality.registry import Tower, register
from earth_embed.encoders.modality.windows import windows


@register("series")
class SeriesTower(Tower):
    """Circular 1-D convolutions over time: December is next to January.

    The flattened output keeps which month is which, so that the hemispheres stay apart.

    `width` channels, `depth` windows of three time steps.
    """

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, time) or (B, time, channels) to (B, features)."""
        x = sample if sample.ndim == 3 else sample[:, :, None]
        for _ in range(self.depth):
            x = nn.gelu(nn.Dense(self.width, dtype=self.dtype)(windows(x, 3, "wrap")))
        x = x.reshape(x.shape[0], -1)  # (B, time · width)
        return nn.Dense(self.features, dtype=self.dtype)(x)
