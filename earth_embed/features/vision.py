"""Image encoders: ViT in timm's layout, CLIP's image tower, and ResNet in torchvision's layout."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.features.transformer import Blocks, Stack, layer_norm

EPSILON = 1e-5
"""Added to the variance in ResNet's batch norms."""


class PatchTokens(nn.Module):
    """A class token and linearly embedded patches, `patch` pixels wide, with their positions."""

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
        pool: Features after the last norm: the class token, or the mean of the patch tokens.

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
        features: Dimension F of the space shared by images and texts.

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


class ResNet(nn.Module):
    """A ResNet in the layout of torchvision and timm, averaged over the image.

    Parameters have the names of that layout; see `features.weights`.

    Attributes:
        blocks: Number of residual blocks in each stage.
        bottleneck: Use blocks of three convolutions with four times as many output channels
            (ResNet-50) instead of blocks of two (ResNet-18).
        width: Channels of the first stage; each further stage doubles them.

    References:
        He et al. 2015 (arXiv 1512.03385), but a bottleneck's stride is at its 3 × 3 convolution.
    """

    blocks: tuple[int, ...]
    bottleneck: bool
    width: int = 64

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images (N, H, W, C) float32 to features (N, F) float32."""
        x = nn.relu(norm("bn1")(convolution(self.width, 7, 2, "conv1")(x)))  # (N, H/2, W/2, width)
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))  # (N, H/4, W/4, width)
        for stage, count in enumerate(self.blocks):
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                name = f"layer{stage + 1}_{i}"
                x = Residual(self.width * 2**stage, stride, self.bottleneck, name=name)(x)
        return x.mean(axis=(1, 2))


class Residual(nn.Module):
    """relu(shortcut(x) + convolutions(x)); the shortcut is a 1 × 1 convolution if shapes differ.

    The (first) 3 × 3 convolution has the stride; `bottleneck` as in `ResNet`.
    """

    width: int
    stride: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (N, H, W, C) to (N, H / stride, W / stride, C')."""
        width, stride = self.width, self.stride
        layers = [(width, 3, stride), (width, 3, 1)]
        if self.bottleneck:
            layers = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
        y = x
        for i, (features, size, step) in enumerate(layers, start=1):
            y = nn.relu(y) if i > 1 else y
            y = norm(f"bn{i}")(convolution(features, size, step, f"conv{i}")(y))
        if x.shape != y.shape:
            x = convolution(y.shape[-1], 1, stride, "downsample_0")(x)
            x = norm("downsample_1")(x)
        return nn.relu(x + y)


class FrozenBatchNorm(nn.Module):
    """(x − mean) / √(var + ε) · scale + bias, with the running statistics as plain parameters."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (N, H, W, C) to (N, H, W, C)."""
        zeros, ones, shape = nn.initializers.zeros_init(), nn.initializers.ones_init(), x.shape[-1:]
        mean, var = self.param("mean", zeros, shape), self.param("var", ones, shape)
        scale, bias = self.param("scale", ones, shape), self.param("bias", zeros, shape)
        factor = scale * jax.lax.rsqrt(var + EPSILON)
        return (x - mean[None, None, None]) * factor[None, None, None] + bias[None, None, None]


def norm(name: str) -> FrozenBatchNorm:
    """A named batch norm."""
    return FrozenBatchNorm(name=name)


def convolution(features: int, size: int, stride: int, name: str) -> nn.Conv:
    """A size × size convolution without bias, padded equally on all sides (unlike "SAME")."""
    pad = (size // 2, size // 2)
    window, strides = (size, size), (stride, stride)
    return nn.Conv(features, window, strides, padding=(pad, pad), use_bias=False, name=name)
