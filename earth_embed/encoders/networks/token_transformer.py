"""A transformer over scales: the features of each scale are one token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.checks import Checked, Checks
from earth_embed.encoders.networks.dense import OWNER, Dense, NetworkModule
from earth_embed.encoders.positional.base import Features


@dataclass(frozen=True)
class TokenTransformer(Checked, owner=OWNER):
    """A transformer whose tokens are the scales of the encoding (as in UniGeoCLIP)."""

    width: int = 256
    """Width of the tokens."""
    depth: int = 4
    """Number of blocks."""
    heads: int = 4
    """Number of attention heads, a divisor of the width."""

    def _check(self, checks: Checks) -> None:
        for name in ("width", "depth", "heads"):
            checks.at_least(name, getattr(self, name), 1)
        checks.raise_if_any()
        checks.expect(self.width % self.heads == 0, "heads", self.heads, "a divisor of width")

    def module(self, features: int, dtype: Any, scales: int = 1) -> TokenTransformerNetwork:
        """Builds the Flax module, named "token_transformer" in the parameters."""
        return TokenTransformerNetwork(
            self, features, dtype, name="token_transformer", tokens=scales
        )


class TokenTransformerNetwork(NetworkModule):
    """One token per scale by a dense layer of its own, then pre-norm blocks and a linear layer.

        x ← x + attention(norm(x)),   x ← x + W₂ gelu(W₁ norm(x)),   W₁ four times as wide

    The linear layer reads the mean token. Each scale's own dense layer tells the tokens apart, so
    they need no positional embedding.

    Parameters: (n + T) w + depth · (12 w + 13) w + 2 w + (w + 1) D for width w.

    Attributes:
        tokens: Number T of scales.

    References:
        UniGeoCLIP for scales as tokens; Xiong et al. 2020 (arXiv 2002.04745) for pre-norm.
    """

    config: TokenTransformer
    tokens: int = 1

    @nn.compact
    def __call__(self, x: Features, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        config, tokens, width = self.config, self.tokens, self.config.width
        n = x.shape[-1] // tokens
        start = nn.initializers.lecun_normal(batch_axis=(0,))
        kernel = self.param("kernel", start, (tokens, n, width), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (tokens, width), jnp.float32)
        scales = jnp.asarray(x).astype(self.dtype).reshape(-1, tokens, n)
        h = jnp.einsum("ntc,tcw->ntw", scales, kernel.astype(self.dtype))
        h = h + bias.astype(self.dtype)[None]  # (N, T, width)
        for i in range(config.depth):
            y = nn.LayerNorm(dtype=self.dtype, name=f"norm_attention_{i}")(h)
            attention = nn.MultiHeadDotProductAttention(
                config.heads, dtype=self.dtype, name=f"attention_{i}"
            )
            h = h + attention(y, y)
            y = nn.LayerNorm(dtype=self.dtype, name=f"norm_{i}")(h)
            y = nn.gelu(nn.Dense(4 * width, dtype=self.dtype, name=f"up_{i}")(y))
            h = h + nn.Dense(width, dtype=self.dtype, name=f"down_{i}")(y)
        h = nn.LayerNorm(dtype=self.dtype, name="norm")(h).mean(axis=1)  # (N, width)
        return Dense(self.features, self.dtype, name="last")(h)
