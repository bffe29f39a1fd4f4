"""Positional encodings: from (lon, lat) in degrees to the features that a network reads.

Each module holds an encoding's settings and its Flax module. A new encoding is a module of this
folder and a name in `Encoding`. Nothing here trains a network or knows of a modality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import numpy as np

from earth_embed.encoders.positional.base import OWNER, EncodingModule, Features
from earth_embed.encoders.positional.equal_earth import EqualEarth, EqualEarthFourier
from earth_embed.encoders.positional.harmonics import SphericalHarmonics
from earth_embed.encoders.positional.learnable import HashGrid, SphericalVoronoi
from earth_embed.encoders.positional.plain import Cartesian, Wrap
from earth_embed.encoders.positional.space2vec import Space2Vec, Sphere2Vec
from earth_embed.encoders.positional.sphere_fourier import SphereFourier
from earth_embed.errors import Checked, Checks

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
    """Several encodings side by side, as the input of one network."""

    parts: tuple[Encoding, ...]
    """The encodings."""

    def _check(self, checks: Checks) -> None:
        checks.expect(bool(self.parts), "parts", self.parts, "at least one encoding")

    def module(self, **options: Any) -> ConcatenationEncoding:
        """The Flax module of these settings; `options` are its attributes."""
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
"""Encodings whose features fall into `scales` groups of one width, scale after scale."""


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


class ConcatenationEncoding(EncodingModule):
    """Several encodings side by side. Parameters and seams: theirs."""

    config: Concatenation

    @property
    def seam(self) -> str:
        """The worst of the parts'."""
        return max((part.module().seam for part in self.config.parts), key=_SEAMS.index)

    @property
    def width(self) -> int:
        """All parts' features."""
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
