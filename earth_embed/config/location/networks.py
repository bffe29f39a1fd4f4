"""Settings of the networks: from an encoding's features to the embedding.

Equations and sources stand beside the code, in `encoders/networks/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from earth_embed.config.checks import Faults

OWNER = "location.network"


@dataclass(frozen=True)
class Siren:
    """A multilayer perceptron with sine activations (SIREN, as in SatCLIP)."""

    hidden: tuple[int, ...] = (512, 512)
    """Widths of the hidden layers."""
    w0_first: float = 30.0
    """Frequency w0 of the first sine layer (SIREN; SatCLIP uses 30). Low is smooth."""
    w0_hidden: float = 1.0
    """Frequency w0 of the other sine layers."""
    dropout: float = 0.0
    """Dropout on the hidden pre-activations while training (SatCLIP uses 0.5)."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        _check_widths(faults, self.hidden)
        faults.positive("w0_first", self.w0_first)
        faults.positive("w0_hidden", self.w0_hidden)
        faults.fraction("dropout", self.dropout)
        faults.raise_if_any()


@dataclass(frozen=True)
class ResidualSiren:
    """A deep SIREN whose pre-activations are averaged with those below (as in Climplicit)."""

    width: int = 512
    """Width of the hidden layers."""
    depth: int = 16
    """Number of hidden layers."""
    w0_first: float = 30.0
    """Frequency w0 of the first sine layer. Low is smooth."""
    w0_hidden: float = 1.0
    """Frequency w0 of the other sine layers."""
    first: Literal["sine", "sinh"] = "sine"
    """The first activation: sin(w0 h), or sin(w0 sinh 2h), which reaches higher frequencies."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        faults.at_least("width", self.width, 1)
        faults.at_least("depth", self.depth, 1)
        faults.positive("w0_first", self.w0_first)
        faults.positive("w0_hidden", self.w0_hidden)
        faults.one_of("first", self.first, ("sine", "sinh"))
        faults.raise_if_any()


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron with ReLU activations (as in GeoCLIP)."""

    hidden: tuple[int, ...] = (1024, 1024, 1024)
    """Widths of the hidden layers."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        _check_widths(faults, self.hidden)
        faults.raise_if_any()


@dataclass(frozen=True)
class ResidualMlp:
    """A dense layer, then residual blocks: x + W₂ gelu(W₁ norm(x))."""

    width: int = 512
    """Width of the blocks."""
    depth: int = 4
    """Number of blocks."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        faults.at_least("width", self.width, 1)
        faults.at_least("depth", self.depth, 1)
        faults.raise_if_any()


@dataclass(frozen=True)
class TokenTransformer:
    """A transformer whose tokens are the scales of the encoding (as in UniGeoCLIP)."""

    width: int = 256
    """Width of a token."""
    depth: int = 4
    """Number of blocks."""
    heads: int = 4
    """Attention heads; they divide the width."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        for name in ("width", "depth", "heads"):
            faults.at_least(name, getattr(self, name), 1)
        faults.raise_if_any()
        faults.expect(self.width % self.heads == 0, "heads", self.heads, "a divisor of width")
        faults.raise_if_any()


@dataclass(frozen=True)
class Linear:
    """One dense layer."""


Network: TypeAlias = Siren | ResidualSiren | Mlp | ResidualMlp | TokenTransformer | Linear


def _check_widths(faults: Faults, hidden: tuple[int, ...]) -> None:
    positive = bool(hidden) and all(width > 0 for width in hidden)
    faults.expect(positive, "hidden", hidden, "at least one positive width")
