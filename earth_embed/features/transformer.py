"""Transformers: the blocks that all frozen ones share, CLIP's text tower and sentence encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp


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
    """A sequence of blocks."""

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


PADDING = 0
"""The token that pads texts: BERT's [PAD]. CLIP's token 0 is "!", but CLIP never attends to what
follows a text's end."""


class ClipText(nn.Module):
    """CLIP's text tower: causal attention; the end token's feature represents the text.

    Attributes:
        blocks: The transformer.
        vocabulary: Number of different tokens.
        length: Maximum number of tokens of a text.
        end: The token that ends a text.
        features: Dimension F of the space shared by images and texts.

    References:
        Radford et al. 2021 (arXiv 2103.00020), section 2.4.
    """

    blocks: Blocks
    vocabulary: int
    length: int
    end: int
    features: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Maps tokens (N, T) int32, T ≤ length, to features (N, F) float32, not normalised."""
        x = Embeddings(self.vocabulary, self.length, self.blocks.width, name="tokens")(tokens)
        count = tokens.shape[1]
        causal = jnp.tril(jnp.ones((count, count), bool))[None, None]
        x = Stack(self.blocks, name="stack")(x, causal)
        x = layer_norm(self.blocks.epsilon, "norm")(x)
        last = jnp.argmax(tokens == self.end, axis=1)
        x = jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]  # (N, D)
        return nn.Dense(self.features, use_bias=False, name="projection")(x)


class SentenceEncoder(nn.Module):
    """BERT with mean pooling over the text's tokens, normalised.

    Attributes:
        blocks: The transformer.
        vocabulary: Number of different tokens.
        length: Maximum number of tokens of a text.

    References:
        Reimers and Gurevych 2019 (arXiv 1908.10084); Wang et al. 2020 (arXiv 2002.10957), MiniLM.
    """

    blocks: Blocks
    vocabulary: int
    length: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Maps tokens (N, T) int32, padded with PADDING, to unit vectors (N, D) float32."""
        width, epsilon = self.blocks.width, self.blocks.epsilon
        x = Embeddings(self.vocabulary, self.length, width, name="tokens")(tokens)
        # BERT can take a second text, of type 1. Here there is only one.
        types = self.param("types", nn.initializers.normal(0.02), (2, width))
        x = layer_norm(epsilon, "norm_first")(x + types[None, :1])
        present = tokens != PADDING
        x = Stack(self.blocks, name="stack")(x, present[:, None, None])  # (N, T, D)
        weights = present.astype(x.dtype)[:, :, None]
        mean = (x * weights).sum(axis=1) / weights.sum(axis=1).clip(1e-9)
        return mean / jnp.linalg.norm(mean, axis=1, keepdims=True).clip(1e-12)


class Embeddings(nn.Module):
    """Embeddings of tokens plus those of up to `length` positions, (N, T, width)."""

    vocabulary: int
    length: int
    width: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Maps (N, T) int32 to (N, T, D)."""
        start = nn.initializers.normal(0.02)
        words = self.param("words", start, (self.vocabulary, self.width))
        positions = self.param("positions", start, (self.length, self.width))
        return words[tokens] + positions[None, : tokens.shape[1]]
