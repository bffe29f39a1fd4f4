"""SIREN: a multilayer perceptron with sine activations, and its published initialisation."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def uniform(bound: float) -> nn.initializers.Initializer:
    """Initialiser U(−bound, bound)."""

    def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Siren(nn.Module):
    """Hidden layers h ← sin(w0 · (W h + b)), then a linear layer.

    Weights and biases start uniform in ±1/n_in (first layer), ±√(6/n_in)/w0 (hidden layers) and
    ±√(6/n_in) (last layer), which keeps the pre-activations' distribution from layer to layer.

    Attributes:
        hidden: Widths of the hidden layers.
        features: Width of the output.
        w0_first: w0 of the first layer; it sets the highest frequencies of the function.
        w0_hidden: w0 of the other hidden layers.
        dropout: Dropout on the hidden pre-activations.
        dtype: Type of the matrix products; parameters are float32.

    References:
        Sitzmann et al. 2020, "Implicit Neural Representations with Periodic Activation Functions",
        section 3.2; the last layer and dropout as in SatCLIP (arXiv 2311.17179).
    """

    hidden: tuple[int, ...]
    features: int
    w0_first: float = 30.0
    w0_hidden: float = 1.0
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        for i, width in enumerate(self.hidden):
            n_in = x.shape[-1]
            w0 = self.w0_first if i == 0 else self.w0_hidden
            bound = 1 / n_in if i == 0 else float(np.sqrt(6 / n_in)) / w0
            x = nn.Dense(
                width,
                dtype=self.dtype,
                kernel_init=uniform(bound),
                bias_init=uniform(bound),
                name=f"hidden_{i}",
            )(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x = jnp.sin(w0 * x)  # (N, width)
        bound = float(np.sqrt(6 / x.shape[-1]))
        return nn.Dense(
            self.features,
            dtype=self.dtype,
            kernel_init=uniform(bound),
            bias_init=uniform(bound),
            name="last",
        )(x)
