"""Dense layers: one, a plain ReLU perceptron, and residual blocks."""

from __future__ import annotations

from itertools import pairwise

import flax.linen as nn
import jax

from earth_embed.config import Linear, Mlp, ResidualMlp
from earth_embed.encoders.networks.base import Dense, Network, dense_flops
from earth_embed.encoders.positional.base import Features


class LinearNetwork(Network):
    """W x + b. Parameters: (n + 1) D."""

    config: Linear

    @nn.compact
    def __call__(self, x: Features, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        return Dense(self.features, self.dtype, name="last")(x)

    def flops(self, n: int) -> int:
        """One dense layer."""
        return dense_flops(n, self.features)


class MlpNetwork(Network):
    """Hidden layers h ← relu(W h + b), then a linear layer.

    Parameters: Σ (n_in + 1) n_out over the layers.

    References:
        GeoCLIP (arXiv 2309.16020): three hidden layers of 1024 and a head of 512.
    """

    config: Mlp

    @nn.compact
    def __call__(self, x: Features, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        for i, width in enumerate(self.config.hidden):
            x = nn.relu(Dense(width, self.dtype, name=f"hidden_{i}")(x))  # (N, width)
        return Dense(self.features, self.dtype, name="last")(x)

    def flops(self, n: int) -> int:
        """Dense layers, and one for each rectifier."""
        widths = (n, *self.config.hidden)
        hidden = sum(dense_flops(a, b) + b for a, b in pairwise(widths))
        return hidden + dense_flops(widths[-1], self.features)


class ResidualMlpNetwork(Network):
    """x ← W x + b, then blocks x ← x + W₂ gelu(W₁ norm(x) + b₁) + b₂, then norm and linear.

    Parameters: (n + 1) w + depth · (2 (w + 1) w + 2 w) + 2 w + (w + 1) D for width w.

    References:
        He et al. 2016, "Identity Mappings in Deep Residual Networks" (arXiv 1603.05027), with the
        norm first; residual blocks on locations as in SINR (arXiv 2306.02564).
    """

    config: ResidualMlp

    @nn.compact
    def __call__(self, x: Features, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        width = self.config.width
        h = Dense(width, self.dtype, name="first")(x)  # (N, width)
        for i in range(self.config.depth):
            y = nn.LayerNorm(dtype=self.dtype, name=f"norm_{i}")(h)
            y = nn.gelu(Dense(width, self.dtype, name=f"up_{i}")(y))
            h = h + Dense(width, self.dtype, name=f"down_{i}")(y)
        h = nn.LayerNorm(dtype=self.dtype, name="norm")(h)
        return Dense(self.features, self.dtype, name="last")(h)

    def flops(self, n: int) -> int:
        """Dense layers, about 8 for each entry's norm and for each gelu, one for each sum."""
        width, depth = self.config.width, self.config.depth
        block = 2 * dense_flops(width, width) + 17 * width
        ends = dense_flops(n, width) + 8 * width + dense_flops(width, self.features)
        return depth * block + ends
