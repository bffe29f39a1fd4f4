"""A small tower for image patches: an MLP-Mixer over an 8 × 8 grid."""

from __future__ import annotations

import flax.linen as nn
import jax

from earth_embed.encoders.modality.registry import Tower, register
from earth_embed.errors import ConfigError

GRID = 8


@register("image")
class ImageTower(Tower):
    """The picture as 8 × 8 tokens, mixed over space and over channels in turn.

    Matrix products alone (see `windows.py` for why not convolutions), and no batch statistics: an
    embedding depends on its own image alone, as a contrastive loss needs.

    `width` channels of a token, `depth` mixer blocks.

    References:
        Tolstikhin et al. 2021, "MLP-Mixer" (arXiv 2105.01601).
    """

    @nn.compact
    def __call__(self, sample: jax.Array) -> jax.Array:
        """Maps (B, H, W, C) to (B, features); H and W multiples of 8."""
        batch, height, width, channels = sample.shape
        if height % GRID or width % GRID:
            raise ConfigError(
                f"the image encoder expects heights and widths in multiples of {GRID} pixels, "
                f"found {height} × {width}"
            )
        rows, columns = height // GRID, width // GRID
        x = sample.reshape(batch, GRID, rows, GRID, columns, channels)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, GRID * GRID, rows * columns * channels)
        x = nn.Dense(self.width, dtype=self.dtype)(x)  # (B, 64, width)
        for _ in range(self.depth):
            tokens = nn.LayerNorm(dtype=self.dtype)(x).swapaxes(1, 2)  # (B, width, 64)
            x = x + self._mlp(tokens).swapaxes(1, 2)
            x = x + self._mlp(nn.LayerNorm(dtype=self.dtype)(x))
        mean = nn.LayerNorm(dtype=self.dtype)(x).mean(axis=1)  # (B, width)
        return nn.Dense(self.features, dtype=self.dtype)(mean)

    def _mlp(self, x: jax.Array) -> jax.Array:
        """Two dense layers over the last axis, twice as wide inside."""
        n = x.shape[-1]
        return nn.Dense(n, dtype=self.dtype)(nn.gelu(nn.Dense(2 * n, dtype=self.dtype)(x)))
