"""Text encoders: CLIP's text tower, and sentence encoders in BERT's layout."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.features.transformer import Blocks, Stack, layer_norm

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
    """Token embeddings plus position embeddings.

    Attributes:
        vocabulary: Number of different tokens.
        length: Number of positions.
        width: Dimension D of the vectors.
    """

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
