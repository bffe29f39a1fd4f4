"""A byte-level tower for text in any script: no vocabulary, no download."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.encoders.modality.registry import Tower, register
from earth_embed.encoders.modality.windows import windows


@register("text")
class TextTower(Tower):
    """Byte embeddings, residual 1-D convolutions, then mean and maximum over the text.

    Bytes of value 0 are padding: they change nothing but the share of the text's own bytes.

    `width` channels, `depth` residual blocks of 5-byte windows.
    """

    standardised = False

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, length) uint8 to (B, features)."""
        present = (sample != 0)[:, :, None]  # (B, length, 1)
        weight = present.astype(self.dtype)
        x = nn.Embed(256, self.width, dtype=self.dtype)(sample.astype(jnp.int32)) * weight
        for _ in range(self.depth):
            y = nn.Dense(self.width, dtype=self.dtype)(windows(x, 5, "zero"))
            x = (x + nn.gelu(nn.LayerNorm(dtype=self.dtype)(y))) * weight
        count = jnp.maximum(weight.sum(axis=1), 1)  # (B, 1); an empty text has no bytes
        mean = x.sum(axis=1) / count
        # By its position, found once. The gradient of `max` looks for the value itself, in an x
        # that XLA may compute anew with another rounding; what it does not find has no gradient.
        lowest = jnp.finfo(self.dtype).min
        at = jnp.where(present, x, lowest).argmax(axis=1, keepdims=True)  # (B, 1, width)
        steps = jnp.arange(x.shape[1])[None, :, None]
        peak = jnp.where(steps == at, x, 0).sum(axis=1)  # 0 for an empty text
        return nn.Dense(self.features, dtype=self.dtype)(jnp.concatenate([mean, peak], axis=-1))
