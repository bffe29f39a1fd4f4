"""Positional encodings: (lon, lat) in degrees → features for a network.

Each module holds an encoding's settings and its Flax module. To add one, write such a module, and
add the settings to `__all__` and `Encoding` here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import numpy as np

from earth_embed.checks import Checked, Checks
from earth_embed.encoders.positional.base import OWNER, EncodingModule, Features
from earth_embed.encoders.positional.equal_earth import EqualEarth, EqualEarthFourier
from earth_embed.encoders.positional.harmonics import SphericalHarmonics
from earth_embed.encoders.positional.learnable import HashGrid, SphericalVoronoi
from earth_embed.encoders.positional.plain import Cartesian, Wrap
from earth_embed.encoders.positional.space2vec import Space2Vec, Sphere2Vec
from earth_embed.encoders.positional.sphere_fourier import SphereFourier

__all__ = [
    "Cartesian",
    "Concatenation",
    "Encoding",
    "EqualEarth",
    "EqualEarthFourier",
    "HashGrid",
    "Space2Vec",
    "Sphere2Vec",
    "SphereFourier",
    "SphericalHarmonics",
    "SphericalVoronoi",
    "Wrap",
]


@dataclass(frozen=True)
class Concatenation(Checked, owner=OWNER):
    """The concatenated features of several encodings, as input to one network."""

    parts: tuple[Encoding, ...]
    """The encodings to concatenate."""

    def _check(self, checks: Checks) -> None:
        checks.expect(bool(self.parts), "parts", self.parts, "at least one encoding")

    def module(self, **options: Any) -> ConcatenationEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return ConcatenationEncoding(self, **options)


Encoding: TypeAlias = (
    SphericalHarmonics
    | EqualEarth
    | EqualEarthFourier
    | SphereFourier
    | Space2Vec
    | Sphere2Vec
    | Wrap
    | Cartesian
    | HashGrid
    | SphericalVoronoi
    | Concatenation
)

MultiScale: TypeAlias = EqualEarthFourier | SphereFourier | Space2Vec | HashGrid
"""Encodings whose features are `scales` groups of equal width, one group per scale."""


@dataclass(frozen=True)
class SideBySide:
    """Lazily concatenated features, (N, n_i) each: [X Y] [A; B] = X A + Y B."""

    parts: tuple[Features, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(N, Σ n_i)."""
        return self.parts[0].shape[0], sum(part.shape[1] for part in self.parts)

    def astype(self, dtype: Any) -> SideBySide:
        """The same features for products in another dtype."""
        return SideBySide(tuple(part.astype(dtype) for part in self.parts))

    def __matmul__(self, kernel: jax.Array) -> jax.Array:
        """The product with a kernel (Σ n_i, m): (N, m)."""
        ends = np.cumsum([part.shape[1] for part in self.parts])
        rows = np.split(np.arange(ends[-1]), ends[:-1])
        products = [p @ kernel[r[0] : r[-1] + 1] for p, r in zip(self.parts, rows, strict=True)]
        return sum(products[1:], start=products[0])


class ConcatenationEncoding(EncodingModule):
    """Concatenates encodings. Parameters: those of its parts. Seam: the worst of its parts."""

    config: Concatenation

    @property
    def seam(self) -> str:
        """The worst seam of the parts."""
        return max((part.module().seam for part in self.config.parts), key=_SEAMS.index)

    @property
    def width(self) -> int:
        """The sum of the parts' widths."""
        return sum(part.module().width for part in self.config.parts)

    @nn.compact
    def __call__(self, lonlat: jax.Array) -> SideBySide:
        """Maps (N, 2) float32 degrees to (N, width), lazily."""
        parts = enumerate(self.config.parts)
        return SideBySide(
            tuple(
                part.module(smoothing_km=self.smoothing_km, name=f"part_{i}")(lonlat)
                for i, part in parts
            )
        )


_SEAMS = ("none", "poles", "antimeridian, poles")
