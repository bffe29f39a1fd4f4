"""Networks of dense layers: linear, MLP and residual MLP; and what all networks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.checks import Checked, Checks
from earth_embed.encoders.positional.base import Features

OWNER = "location.network"


class NetworkModule(nn.Module):
    """Base of networks: features (N, n) → embeddings (N, features).

    Attributes:
        config: Its settings.
        features: Dimension D of the output.
        dtype: Data type of the matrix products; parameters are float32.
    """

    config: Any
    features: int
    dtype: Any = jnp.float32

    def __call__(self, x: Features, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        raise NotImplementedError


class Dense(nn.Module):
    """x W + b for features x that may be lazy: only their shape and product are used.

    Attributes:
        features: Width of the output.
        dtype: Data type of the product; parameters are float32.
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


def check_widths(checks: Checks, hidden: tuple[int, ...]) -> None:
    """Notes an empty tuple of widths and widths that are not positive."""
    positive = bool(hidden) and all(width > 0 for width in hidden)
    checks.expect(positive, "hidden", hidden, "at least one positive width")


@dataclass(frozen=True)
class Mlp(Checked, owner=OWNER):
    """A multilayer perceptron with ReLU activations (as in GeoCLIP)."""

    hidden: tuple[int, ...] = (1024, 1024, 1024)
    """Widths of the hidden layers."""

    def _check(self, checks: Checks) -> None:
        check_widths(checks, self.hidden)

    def module(self, features: int, dtype: Any, scales: int = 1) -> MlpNetwork:
        """Builds the Flax module, named "mlp" in the parameters."""
        return MlpNetwork(self, features, dtype, name="mlp")


@dataclass(frozen=True)
class ResidualMlp(Checked, owner=OWNER):
    """A dense layer, then residual blocks x + W₂ gelu(W₁ norm(x))."""

    width: int = 512
    """Width of the blocks."""
    depth: int = 4
    """Number of blocks."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("width", self.width, 1)
        checks.at_least("depth", self.depth, 1)

    def module(self, features: int, dtype: Any, scales: int = 1) -> ResidualMlpNetwork:
        """Builds the Flax module, named "residual_mlp" in the parameters."""
        return ResidualMlpNetwork(self, features, dtype, name="residual_mlp")


@dataclass(frozen=True)
class Linear:
    """One dense layer."""

    def module(self, features: int, dtype: Any, scales: int = 1) -> LinearNetwork:
        """Builds the Flax module, named "linear" in the parameters."""
        return LinearNetwork(self, features, dtype, name="linear")


class MlpNetwork(NetworkModule):
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


class ResidualMlpNetwork(NetworkModule):
    """x ← W x + b, then blocks x ← x + W₂ gelu(W₁ norm(x) + b₁) + b₂, then norm and linear.

    Parameters: (n + 1) w + depth · (2 (w + 1) w + 2 w) + 2 w + (w + 1) D for width w.

    References:
        He et al. 2016, "Identity Mappings in Deep Residual Networks" (arXiv 1603.05027), for the
        norm first; SINR (arXiv 2306.02564) for residual blocks on locations.
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


class LinearNetwork(NetworkModule):
    """W x + b. Parameters: (n + 1) D."""

    config: Linear

    @nn.compact
    def __call__(self, x: Features, train: bool = False) -> jax.Array:
        """Maps (N, n) to (N, features)."""
        return Dense(self.features, self.dtype, name="last")(x)
