"""A SIREN that stays trainable when it is deep: pre-activations averaged with those below."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.config import ResidualSiren
from earth_embed.encoders.networks.base import Network, dense_flops
from earth_embed.encoders.networks.siren import sine_dense
from earth_embed.encoders.positional.base import Features
from earth_embed.encoders.sine import SINE_FLOPS, sine


class ResidualSirenNetwork(Network):
    """Pre-activations h_0 = W_0 x + b_0 and h_k = (W_k x_k + b_k + h_k−1) / 2, then linear.

    x_k+1 = sin(w0 h_k), but x_1 = sin(w0 sinh 2h_0) with the first activation "sinh": its slope
    grows with |h|, so that the first layer spans many frequencies.

    Weights start as in `SirenNetwork`, but √3 times as wide in the hidden layers. The mean of two
    independent terms has (Var W x + Var h)/4, which stays at Var h if Var W x is three times it;
    with SIREN's own width the signal would shrink by √3/2 a layer.

    Parameters: (n + 1) w + (depth − 1)(w + 1) w + (w + 1) D for width w.

    References:
        Climplicit (arXiv 2504.05089), without its month; Gao & Jaiman 2024, "H-SIREN"
        (arXiv 2410.04716) for sinh.
    """

    config: ResidualSiren

    @nn.compact
    def __call__(self, x: Features, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        config = self.config
        h = sine_dense(x, config.width, None, self.dtype, "hidden_0")  # (N, width)
        x = sine(config.w0_first * (h if config.first == "sine" else jnp.sinh(2 * h)))
        w0 = config.w0_hidden
        for k in range(1, config.depth):
            h = (sine_dense(x, config.width, w0 / 3**0.5, self.dtype, f"hidden_{k}") + h) / 2
            x = sine(w0 * h)
        return sine_dense(x, self.features, 1.0, self.dtype, "last")

    def flops(self, n: int) -> int:
        """Dense layers, sines and products with w0; 2 for each mean, 2 for each sinh."""
        width, later = self.config.width, self.config.depth - 1
        sinh = 0 if self.config.first == "sine" else 2
        first = dense_flops(n, width) + (1 + SINE_FLOPS + sinh) * width
        hidden = later * (dense_flops(width, width) + (3 + SINE_FLOPS) * width)
        return first + hidden + dense_flops(width, self.features)
