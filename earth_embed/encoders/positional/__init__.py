"""Positional encodings of (lon, lat): one file an idea, each the class of its settings."""

from __future__ import annotations

import flax.linen as nn
import jax

from earth_embed.config import (
    Cartesian,
    Concatenation,
    EqualEarth,
    EqualEarthFourier,
    HashGrid,
    Space2Vec,
    Sphere2Vec,
    SphereFourier,
    SphericalHarmonics,
    SphericalVoronoi,
    Wrap,
)
from earth_embed.config import Encoding as Settings
from earth_embed.encoders.positional.base import Encoding
from earth_embed.encoders.positional.concatenation import SideBySide
from earth_embed.encoders.positional.equal_earth import (
    EqualEarthEncoding,
    EqualEarthFourierEncoding,
)
from earth_embed.encoders.positional.harmonics import HarmonicsEncoding
from earth_embed.encoders.positional.hash_grid import HashGridEncoding
from earth_embed.encoders.positional.plain import CartesianEncoding, WrapEncoding
from earth_embed.encoders.positional.space2vec import Space2VecEncoding
from earth_embed.encoders.positional.sphere2vec import Sphere2VecEncoding
from earth_embed.encoders.positional.sphere_fourier import SphereFourierEncoding
from earth_embed.encoders.positional.voronoi import SphericalVoronoiEncoding


class ConcatenationEncoding(Encoding):
    """Several encodings side by side. Parameters and seams: theirs."""

    config: Concatenation

    @property
    def seam(self) -> str:
        """The worst of the parts'."""
        return max((build_encoding(part).seam for part in self.config.parts), key=_SEAMS.index)

    @property
    def width(self) -> int:
        """All parts' features."""
        return sum(build_encoding(part).width for part in self.config.parts)

    @property
    def flops(self) -> int:
        """All parts'."""
        return sum(build_encoding(part).flops for part in self.config.parts)

    @nn.compact
    def __call__(self, lonlat: jax.Array) -> SideBySide:
        """Maps (N, 2) float32 degrees to (N, width), lazily."""
        parts = enumerate(self.config.parts)
        return SideBySide(
            tuple(build_encoding(part, self.smoothing_km, f"part_{i}")(lonlat) for i, part in parts)
        )


_SEAMS = ("none", "poles", "antimeridian, poles")

_ENCODINGS: dict[type, type[Encoding]] = {
    SphericalHarmonics: HarmonicsEncoding,
    EqualEarth: EqualEarthEncoding,
    EqualEarthFourier: EqualEarthFourierEncoding,
    SphereFourier: SphereFourierEncoding,
    Space2Vec: Space2VecEncoding,
    Sphere2Vec: Sphere2VecEncoding,
    Wrap: WrapEncoding,
    Cartesian: CartesianEncoding,
    HashGrid: HashGridEncoding,
    SphericalVoronoi: SphericalVoronoiEncoding,
    Concatenation: ConcatenationEncoding,
}


def build_encoding(
    encoding: Settings, smoothing_km: float = 0.0, name: str | None = "encoding"
) -> Encoding:
    """The module of an encoding.

    Args:
        encoding: Its settings.
        smoothing_km: Run-time low-pass of spherical harmonics.
        name: Name of its parameters.
    """
    return _ENCODINGS[type(encoding)](encoding, smoothing_km, name=name)
