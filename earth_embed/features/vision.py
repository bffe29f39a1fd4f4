"""Vision transformers: ViT in timm's layout, and CLIP's image tower."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.encoders.frozen.transformer import Blocks, Stack, layer_norm


class PatchTokens(nn.Module):
    """A dense layer of each patch, behind a class token, plus a position each.

    Attributes:
        width: Width D of a token.
        patch: Side P of a patch, pixels.
        bias: Whether the dense layer has one.
    """

    width: int
    patch: int
    bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (N, H, W, C) to (N, 1 + H W / P², D), the class token first."""
        window = (self.patch, self.patch)
        patches = nn.Conv(
            self.width, window, window, padding="VALID", use_bias=self.bias, name="patch"
        )(x)
        patches = patches.reshape(len(x), -1, self.width)
        start = nn.initializers.normal(0.02)
        token = self.param("class_token", start, (self.width,))
        positions = self.param("positions", start, (1 + patches.shape[1], self.width))
        tokens = jnp.broadcast_to(token[None, None], (len(x), 1, self.width))
        return jnp.concatenate([tokens, patches], axis=1) + positions[None]


class VisionTransformer(nn.Module):
    """ViT without its classifier.

    Attributes:
        blocks: The transformer.
        patch: Side of a patch, pixels.
        pool: Features: the class token, or the mean of the patches' tokens; after the last norm.

    References:
        Dosovitskiy et al. 2020 (arXiv 2010.11929).
    """

    blocks: Blocks
    patch: int
    pool: Literal["token", "mean"] = "token"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images (N, H, W, C) float32 to features (N, D) float32."""
        x = PatchTokens(self.blocks.width, self.patch, name="tokens")(x)
        x = Stack(self.blocks, name="stack")(x)  # (N, T, D)
        x = layer_norm(self.blocks.epsilon, "norm")(x)
        return x[:, 0] if self.pool == "token" else x[:, 1:].mean(axis=1)


class ClipImage(nn.Module):
    """CLIP's image tower: ViT with a norm before its blocks, and a projection.

    Attributes:
        blocks: The transformer.
        patch: Side of a patch, pixels.
        features: Width F of the space that images and texts share.

    References:
        Radford et al. 2021 (arXiv 2103.00020), section 2.4.
    """

    blocks: Blocks
    patch: int
    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images (N, H, W, 3) float32 to features (N, F) float32, not normalised."""
        x = PatchTokens(self.blocks.width, self.patch, bias=False, name="tokens")(x)
        x = layer_norm(self.blocks.epsilon, "norm_first")(x)
        x = Stack(self.blocks, name="stack")(x)  # (N, T, D)
        x = layer_norm(self.blocks.epsilon, "norm")(x[:, 0])
        return nn.Dense(self.features, use_bias=False, name="projection")(x)
