"""SIREN and residual SIREN: MLPs with sine activations, with their published initialisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.checks import Checked, Checks
from earth_embed.encoders.networks.dense import (
    OWNER,
    Dense,
    NetworkModule,
    check_widths,
)
from earth_embed.encoders.positional.base import Features
from earth_embed.encoders.sine import sine


@dataclass(frozen=True)
class Siren(Checked, owner=OWNER):
    """A multilayer perceptron with sine activations (SIREN, as in SatCLIP)."""

    hidden: tuple[int, ...] = (512, 512)
    """Widths of the hidden layers."""
    w0_first: float = 30.0
    """Frequency w0 of the first sine layer (SIREN and SatCLIP: 30). Low is smooth."""
    w0_hidden: float = 1.0
    """Frequency w0 of the other sine layers."""
    dropout: float = 0.0
    """Dropout rate of the hidden pre-activations in training (SatCLIP: 0.5)."""

    def _check(self, checks: Checks) -> None:
        check_widths(checks, self.hidden)
        checks.positive("w0_first", self.w0_first)
        checks.positive("w0_hidden", self.w0_hidden)
        checks.fraction("dropout", self.dropout)

    def module(self, features: int, dtype: Any, scales: int = 1) -> SirenNetwork:
        """Builds the Flax module, named "siren" in the parameters."""
        return SirenNetwork(self, features, dtype, name="siren")


@dataclass(frozen=True)
class ResidualSiren(Checked, owner=OWNER):
    """A deep SIREN that averages each pre-activation with the previous one (as in Climplicit)."""

    width: int = 512
    """Width of the hidden layers."""
    depth: int = 16
    """Number of hidden layers."""
    w0_first: float = 30.0
    """Frequency w0 of the first sine layer. Low is smooth."""
    w0_hidden: float = 1.0
    """Frequency w0 of the other sine layers."""
    first: Literal["sine", "sinh"] = "sine"
    """First activation: sin(w0 h), or sin(w0 sinh 2h), which reaches higher frequencies."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("width", self.width, 1)
        checks.at_least("depth", self.depth, 1)
        checks.positive("w0_first", self.w0_first)
        checks.positive("w0_hidden", self.w0_hidden)

    def module(self, features: int, dtype: Any, scales: int = 1) -> ResidualSirenNetwork:
        """Builds the Flax module, named "residual_siren" in the parameters."""
        return ResidualSirenNetwork(self, features, dtype, name="residual_siren")


class SirenNetwork(NetworkModule):
    """Hidden layers h ← sin(w0 · (W h + b)), then a linear layer.

    Weights and biases start uniform in ±1/n_in (first layer), ±√(6/n_in)/w0 (hidden layers) and
    ±√(6/n_in) (last layer), so that all layers' pre-activations have the same distribution.

    Parameters: Σ (n_in + 1) n_out over the layers.

    References:
        Sitzmann et al. 2020, "Implicit Neural Representations with Periodic Activation Functions",
        section 3.2; SatCLIP (arXiv 2311.17179) for the last layer and dropout.
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


def sine_dense(x: Features, width: int, w0: float | None, dtype: Any, name: str) -> jax.Array:
    """A dense layer with SIREN's initialisation: the first (w0 None), or one after sines."""
    n_in = x.shape[-1]
    start = uniform(1 / n_in if w0 is None else float(np.sqrt(6 / n_in)) / w0)
    return Dense(width, dtype, kernel_init=start, bias_init=start, name=name)(x)


def uniform(bound: float) -> nn.initializers.Initializer:
    """Initialiser U(−bound, bound)."""

    def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class ResidualSirenNetwork(NetworkModule):
    """Pre-activations h_0 = W_0 x + b_0 and h_k = (W_k x_k + b_k + h_k−1) / 2, then linear.

    x_k+1 = sin(w0 h_k), except that x_1 = sin(w0 sinh 2h_0) with the first activation "sinh". The
    slope of sinh grows with |h|, so the first layer spans many frequencies.

    Weights start as in `SirenNetwork`, but in the hidden layers from a range √3 times as wide. The
    mean of two independent terms has variance (Var W x + Var h)/4, which equals Var h if Var W x
    is three times as large.

    Parameters: (n + 1) w + (depth − 1)(w + 1) w + (w + 1) D for width w.

    References:
        Climplicit (arXiv 2504.05089), here without the month; Gao & Jaiman 2024, "H-SIREN"
        (arXiv 2410.04716), for sinh.
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
