"""Settings of the positional encodings: from (lon, lat) in degrees to the features of a network.

Equations and sources stand beside the code, in `encoders/positional/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from earth_embed.config.checks import Faults

OWNER = "location.encoding"


@dataclass(frozen=True)
class SphericalHarmonics:
    """Real spherical harmonics (SatCLIP): L² features, low is smooth."""

    degree: int = 10
    """Number L of spherical-harmonic degrees l = 0 … L−1; L² features. Low is smooth."""
    normalisation: Literal["orthonormal", "satclip"] = "orthonormal"
    """Orthonormal, or with the factors and signs of SatCLIP's released weights."""
    low_pass_km: float = 0.0
    """Harmonics are smoothed by a heat kernel of this standard deviation, in km (0: not at all)."""
    learnable_low_pass: bool = False
    """Whether that length trains, starting at low_pass_km."""
    satclip_polynomials: bool = False
    """Add the rounding errors of SatCLIP's own polynomials, which its L = 40 weights expect."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        faults.expect(1 <= self.degree <= 1024, "degree", self.degree, "1 … 1024")
        faults.one_of("normalisation", self.normalisation, ("orthonormal", "satclip"))
        faults.at_least("low_pass_km", self.low_pass_km, 0)
        if self.learnable_low_pass:
            faults.positive("low_pass_km", self.low_pass_km)
        if self.satclip_polynomials:
            faults.one_of("normalisation", self.normalisation, ("satclip",))
            faults.expect(self.degree <= 40, "degree", self.degree, "1 … 40, as released")
        faults.raise_if_any()


@dataclass(frozen=True)
class EqualEarth:
    """The Equal Earth projection's plane coordinates (x, y): 2 features."""


@dataclass(frozen=True)
class EqualEarthFourier:
    """Random Fourier features of the Equal Earth projection (GeoCLIP)."""

    frequencies: int = 256
    """Random frequencies of each scale; twice as many features."""
    sigmas: tuple[float, ...] = (1.0, 16.0, 256.0)
    """Standard deviation σ of each scale's frequencies, in cycles per half width of the map."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        faults.at_least("frequencies", self.frequencies, 1)
        _all_positive(faults, "sigmas", self.sigmas)
        faults.raise_if_any()

    @property
    def scales(self) -> int:
        """Number of scales."""
        return len(self.sigmas)


@dataclass(frozen=True)
class SphereFourier:
    """Random Fourier features of the unit vector: several scales, no seam."""

    frequencies: int = 256
    """Random frequencies of each scale; twice as many features."""
    wavelengths_km: tuple[float, ...] = (20_000.0, 5000.0, 1250.0, 300.0)
    """Typical wavelength of each scale's waves, in km."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        faults.at_least("frequencies", self.frequencies, 1)
        _all_positive(faults, "wavelengths_km", self.wavelengths_km)
        faults.raise_if_any()

    @property
    def scales(self) -> int:
        """Number of scales."""
        return len(self.wavelengths_km)


@dataclass(frozen=True)
class Space2Vec:
    """Sines and cosines of lon and lat at geometric scales (Space2Vec's grid and theory)."""

    variant: Literal["grid", "theory"] = "theory"
    """Along lon and lat (4 features a scale), or along three directions 120° apart (6)."""
    scales: int = 32
    """Number S of scales."""
    min_radius: float = 0.01
    """The finest scale, in radians: its sine repeats after 2π times it."""
    max_radius: float = 1.0
    """The coarsest scale, in radians."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        faults.one_of("variant", self.variant, ("grid", "theory"))
        _check_radii(faults, self)
        faults.raise_if_any()


@dataclass(frozen=True)
class Sphere2Vec:
    """Products of sines and cosines of lon and lat at geometric scales (Sphere2Vec)."""

    variant: Literal["C", "C+", "M", "M+", "DFS"] = "C+"
    """Features a scale: 3, 7, 5, 8; DFS has 4 S² + 4 S in all."""
    scales: int = 32
    """Number S of scales."""
    min_radius: float = 0.01
    """The finest scale, in radians: its sine repeats after 2π times it."""
    max_radius: float = 1.0
    """The coarsest scale, in radians."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        faults.one_of("variant", self.variant, ("C", "C+", "M", "M+", "DFS"))
        _check_radii(faults, self)
        faults.raise_if_any()


@dataclass(frozen=True)
class Wrap:
    """Sine and cosine of lon and of lat: 4 features."""


@dataclass(frozen=True)
class Cartesian:
    """The unit vector: 3 features."""


@dataclass(frozen=True)
class HashGrid:
    """Learnable vectors on cubic grids of several resolutions, found by hashing (Instant NGP)."""

    levels: int = 8
    """Number of grids."""
    table: int = 16_384
    """Vectors of each grid; finer grids share them by hashing."""
    width: int = 4
    """Dimension of a vector."""
    coarsest_km: float = 4000.0
    """Side of the coarsest grid's cells, in km."""
    finest_km: float = 50.0
    """Side of the finest grid's cells, in km."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        for name in ("levels", "table", "width"):
            faults.at_least(name, getattr(self, name), 1)
        faults.expect(self.finest_km >= 1, "finest_km", self.finest_km, "a number ≥ 1")
        ordered = self.finest_km <= self.coarsest_km
        faults.expect(ordered, "finest_km", self.finest_km, f"at most {self.coarsest_km}")
        faults.raise_if_any()

    @property
    def scales(self) -> int:
        """Number of scales."""
        return self.levels


@dataclass(frozen=True)
class SphericalVoronoi:
    """Learnable sites on the sphere, each with a learnable vector; a point blends the nearest."""

    sites: int = 1024
    """Number of sites, equally spread to begin with."""
    width: int = 64
    """Dimension of a site's vector."""
    blur_km: float = 300.0
    """Length over which neighbouring cells blend, to begin with, in km."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        faults.at_least("sites", self.sites, 1)
        faults.at_least("width", self.width, 1)
        faults.at_least("blur_km", self.blur_km, 20)  # below, float32 rounds the borders
        faults.raise_if_any()


@dataclass(frozen=True)
class Concatenation:
    """Several encodings side by side, as the input of one network."""

    parts: tuple[Encoding, ...]
    """The encodings."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(OWNER, self)
        faults.expect(bool(self.parts), "parts", self.parts, "at least one encoding")
        faults.raise_if_any()


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


def _all_positive(faults: Faults, field: str, values: tuple[float, ...]) -> None:
    allowed = "at least one number, all > 0"
    faults.expect(bool(values) and all(v > 0 for v in values), field, values, allowed)


def _check_radii(faults: Faults, settings: Space2Vec | Sphere2Vec) -> None:
    faults.at_least("scales", settings.scales, 1)
    faults.positive("min_radius", settings.min_radius)
    ordered = settings.min_radius <= settings.max_radius
    allowed = f"at most max_radius = {settings.max_radius}"
    faults.expect(ordered, "min_radius", settings.min_radius, allowed)
