"""What a positional encoding is: a map from places in degrees to features for a dense layer."""

from __future__ import annotations

from typing import Any, Protocol

import flax.linen as nn
import jax
from jax.tree_util import DictKey

from earth_embed.errors import Checks

OWNER = "location.encoding"

FROZEN = "frozen_"
"""Parameters whose names begin so are drawn or loaded once, and no update moves them."""


def is_frozen(path: jax.tree_util.KeyPath) -> bool:
    """Whether the parameter at this path of a tree is one of those."""
    return any(isinstance(key, DictKey) and key.key.startswith(FROZEN) for key in path)


class Features(Protocol):
    """An (N, n) array, or something lazy that stands for one in a matrix product."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, n)."""
        ...

    def astype(self, dtype: Any) -> Features:
        """The same, for products in this type."""
        ...

    def __matmul__(self, kernel: jax.Array) -> jax.Array:
        """The product with a kernel (n, m): (N, m)."""
        ...


class EncodingModule(nn.Module):
    """What every positional encoding is: (N, 2) float32 degrees to features (N, width).

    Features are computed in float32 always.

    Attributes:
        config: Its settings.
        smoothing_km: Run-time low-pass of spherical harmonics; encodings without ignore it.
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
    """Notes values that are none, or not all above 0."""
    allowed = "at least one number, all > 0"
    checks.expect(bool(values) and all(v > 0 for v in values), field, values, allowed)
