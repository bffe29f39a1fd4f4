"""The transformer that the frozen vision, CLIP and sentence encoders share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax


@dataclass(frozen=True)
class Blocks:
    """Sizes and variants of a stack of transformer blocks.

    Attributes:
        width: Dimension D of a token.
        depth: Number of blocks.
        heads: Attention heads, of dimension D / heads each.
        epsilon: Added to the variance in layer norms.
        norm: Layer norms before attention and MLP (ViT, CLIP), or after the sum (BERT).
        gelu: "exact": x Φ(x); "quick": x σ(1.702 x), as in CLIP.
    """

    width: int
    depth: int
    heads: int
    epsilon: float = 1e-6
    norm: Literal["before", "after"] = "before"
    gelu: Literal["exact", "quick"] = "exact"


class Block(nn.Module):
    """Attention and an MLP four times as wide, each with a residual connection.

        before:  x ← x + attention(norm_1(x)),    x ← x + W₂ gelu(W₁ norm_2(x))
        after:   x ← norm_1(x + attention(x)),    x ← norm_2(x + W₂ gelu(W₁ x))

    Attributes:
        config: Sizes and variants.

    References:
        Vaswani et al. 2017 (arXiv 1706.03762); Xiong et al. 2020 (arXiv 2002.04745) for the norms.
    """

    config: Blocks

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Maps (N, T, D) to (N, T, D); mask (N or 1, 1, T or 1, T) says what a token attends to."""
        before = self.config.norm == "before"
        norm_1 = layer_norm(self.config.epsilon, "norm_1")
        norm_2 = layer_norm(self.config.epsilon, "norm_2")
        y = self._attention(norm_1(x) if before else x, mask)
        x = x + y if before else norm_1(x + y)
        y = self._mlp(norm_2(x) if before else x)
        return x + y if before else norm_2(x + y)

    def _attention(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """softmax(Q Kᵀ / √(D / heads)) V, per head, and a dense layer."""
        width, heads = self.config.width, self.config.heads
        query, key, value = (
            nn.Dense(width, name=name)(x).reshape(*x.shape[:2], heads, width // heads)
            for name in ("query", "key", "value")
        )  # (N, T, heads, D / heads)
        seen = jax.nn.dot_product_attention(query, key, value, mask=mask)
        return nn.Dense(width, name="out")(seen.reshape(x.shape))

    def _mlp(self, x: jax.Array) -> jax.Array:
        h = nn.Dense(4 * self.config.width, name="up")(x)
        h = quick_gelu(h) if self.config.gelu == "quick" else nn.gelu(h, approximate=False)
        return nn.Dense(self.config.width, name="down")(h)


class Stack(nn.Module):
    """A sequence of blocks.

    Attributes:
        config: Sizes and variants.
    """

    config: Blocks

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Maps (N, T, D) to (N, T, D)."""
        for i in range(self.config.depth):
            x = Block(self.config, name=f"block_{i}")(x, mask)
        return x


def layer_norm(epsilon: float, name: str) -> nn.LayerNorm:
    """A layer norm with the variance of the centred values, as in PyTorch."""
    return nn.LayerNorm(epsilon, use_fast_variance=False, name=name)


def quick_gelu(x: jax.Array) -> jax.Array:
    """Elementwise x σ(1.702 x)."""
    return x * jax.nn.sigmoid(1.702 * x)
