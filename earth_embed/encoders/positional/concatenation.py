"""Several encodings side by side, without the columns of any being gathered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from earth_embed.encoders.positional.base import Features


@dataclass(frozen=True)
class SideBySide:
    """Features of several encodings; their product with a kernel is the sum of theirs.

    Attributes:
        parts: (N, n_i) each.
    """

    parts: tuple[Features, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(N, Σ n_i)."""
        return self.parts[0].shape[0], sum(part.shape[1] for part in self.parts)

    def astype(self, dtype: Any) -> SideBySide:
        """The same, for products in this type."""
        return SideBySide(tuple(part.astype(dtype) for part in self.parts))

    def __matmul__(self, kernel: jax.Array) -> jax.Array:
        """The product with a kernel (Σ n_i, m): [X Y] [A; B] = X A + Y B."""
        ends = np.cumsum([part.shape[1] for part in self.parts])
        rows = np.split(np.arange(ends[-1]), ends[:-1])
        products = [p @ kernel[r[0] : r[-1] + 1] for p, r in zip(self.parts, rows, strict=True)]
        return sum(products[1:], start=products[0])
