"""The interface of positional encodings: places in degrees → features for a dense layer."""

from __future__ import annotations

from typing import Any, Protocol

import flax.linen as nn
import jax
from jax.tree_util import DictKey

from earth_embed.checks import Checks

OWNER = "location.encoding"

FROZEN = "frozen_"
"""Prefix of parameters that are drawn or loaded once and never updated."""


def is_frozen(path: jax.tree_util.KeyPath) -> bool:
    """Whether the parameter at this path of a parameter tree is frozen."""
    return any(isinstance(key, DictKey) and key.key.startswith(FROZEN) for key in path)


class Features(Protocol):
    """An (N, n) array, or a lazy stand-in that only knows its product with a matrix."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, n)."""
        ...

    def astype(self, dtype: Any) -> Features:
        """The same features for products in another dtype."""
        ...

    def __matmul__(self, kernel: jax.Array) -> jax.Array:
        """The product with a kernel (n, m): (N, m)."""
        ...


class EncodingModule(nn.Module):
    """Base of positional encodings: (N, 2) float32 degrees → features (N, width), in float32.

    Attributes:
        config: Its settings.
        smoothing_km: Additional low-pass of spherical harmonics at inference, in km. Other
            encodings ignore it.
    """

    config: Any
    smoothing_km: float = 0.0

    @property
    def seam(self) -> str:
        """Where one place has several codes: "none", "poles", or "antimeridian, poles"."""
        return "none"

    @property
    def width(self) -> int:
        """Number n of features."""
        raise NotImplementedError

    def __call__(self, lonlat: jax.Array) -> Features:
        """Maps (N, 2) float32 degrees to (N, width)."""
        raise NotImplementedError


def all_positive(checks: Checks, field: str, values: tuple[float, ...]) -> None:
    """Notes an empty tuple and numbers that are not above 0."""
    allowed = "at least one number, all > 0"
    checks.expect(bool(values) and all(v > 0 for v in values), field, values, allowed)
