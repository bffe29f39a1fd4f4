"""What a network is: a map from features to embeddings; and the dense layer of them all."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.encoders.positional.base import Features


class Network(nn.Module):
    """What every network is: features (N, n) to embeddings (N, features).

    FLOPs count one for each sum, product and elementary function.

    Attributes:
        config: Its settings.
        features: Dimension D of the output.
        dtype: Type of the matrix products; parameters are float32.
    """

    config: Any
    features: int
    dtype: Any = jnp.float32

    def flops(self, n: int) -> int:
        """FLOPs for one place with n features."""
        raise NotImplementedError

    def __call__(self, x: Features, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        raise NotImplementedError


class Dense(nn.Module):
    """x W + b, where x may be lazy: it is asked for nothing but its shape and the product.

    Attributes:
        features: Width of the output.
        dtype: Type of the product; parameters are float32.
        kernel_init: Initialiser of W.
        bias_init: Initialiser of b.
    """

    features: int
    dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Features) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        return x.astype(self.dtype) @ kernel.astype(self.dtype) + bias.astype(self.dtype)[None, :]


def dense_flops(n: int, m: int) -> int:
    """FLOPs of x W + b for one x of n entries and m outputs."""
    return 2 * n * m + m
