"""SIREN: a multilayer perceptron with sine activations, and its published initialisation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.config import Siren
from earth_embed.encoders.networks.base import Dense, Network, dense_flops
from earth_embed.encoders.positional.base import Features
from earth_embed.encoders.sine import SINE_FLOPS, sine


class SirenNetwork(Network):
    """Hidden layers h ← sin(w0 · (W h + b)), then a linear layer.

    Weights and biases start uniform in ±1/n_in (first layer), ±√(6/n_in)/w0 (hidden layers) and
    ±√(6/n_in) (last layer), which keeps the pre-activations' distribution from layer to layer.

    Parameters: Σ (n_in + 1) n_out over the layers.

    References:
        Sitzmann et al. 2020, "Implicit Neural Representations with Periodic Activation Functions",
        section 3.2; the last layer and dropout as in SatCLIP (arXiv 2311.17179).
    """

    config: Siren

    @nn.compact
    def __call__(self, x: Features, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        config = self.config
        for i, width in enumerate(config.hidden):
            w0 = config.w0_first if i == 0 else config.w0_hidden
            h = sine_dense(x, width, None if i == 0 else w0, self.dtype, f"hidden_{i}")
            h = nn.Dropout(config.dropout, deterministic=not train)(h)
            x = sine(w0 * h)  # (N, width)
        return sine_dense(x, self.features, 1.0, self.dtype, "last")

    def flops(self, n: int) -> int:
        """Dense layers, the products with w0, and the sines."""
        widths = (n, *self.config.hidden)
        hidden = sum(dense_flops(a, b) + (1 + SINE_FLOPS) * b for a, b in pairwise(widths))
        return hidden + dense_flops(widths[-1], self.features)


def sine_dense(x: Features, width: int, w0: float | None, dtype: Any, name: str) -> jax.Array:
    """A dense layer that starts as SIREN's do: the first (w0 None), or one after sines."""
    n_in = x.shape[-1]
    start = uniform(1 / n_in if w0 is None else float(np.sqrt(6 / n_in)) / w0)
    return Dense(width, dtype, kernel_init=start, bias_init=start, name=name)(x)


def uniform(bound: float) -> nn.initializers.Initializer:
    """Initialiser U(−bound, bound)."""

    def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
