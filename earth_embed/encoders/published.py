"""Published location encoders, each as one line of an experiment.

    location=published.satclip(degree=40)

They start from random weights. "Style" marks encoders that keep a publication's idea but not its
details.
"""

from __future__ import annotations

from earth_embed.encoders.location import Combined, LocationConfig
from earth_embed.encoders.networks.dense import Mlp, ResidualMlp
from earth_embed.encoders.networks.siren import ResidualSiren, Siren
from earth_embed.encoders.networks.token_transformer import TokenTransformer
from earth_embed.encoders.positional.equal_earth import EqualEarth, EqualEarthFourier
from earth_embed.encoders.positional.harmonics import SphericalHarmonics
from earth_embed.encoders.positional.plain import Cartesian
from earth_embed.encoders.positional.sphere_fourier import SphereFourier


def satclip(degree: int = 10) -> LocationConfig:
    """SatCLIP (arXiv 2311.17179): harmonics and SIREN; weights exist for degrees 10 and 40."""
    harmonics = SphericalHarmonics(degree, "satclip")
    return LocationConfig(harmonics, Siren((512, 512), dropout=0.5), features=256)


def geoclip() -> Combined:
    """GeoCLIP (arXiv 2309.16020): the sum of three ReLU networks, one per scale."""
    networks = (
        LocationConfig(EqualEarthFourier(256, (sigma,)), Mlp((1024, 1024, 1024)), features=512)
        for sigma in (1.0, 16.0, 256.0)
    )
    return Combined(tuple(networks), "sum")


def climplicit_style() -> LocationConfig:
    """Climplicit (arXiv 2504.05089): 16 residual sine layers, here on the unit vector alone.

    The published network reads scaled lon and lat, which have a seam, and the month.
    """
    return LocationConfig(Cartesian(), ResidualSiren(512, 16, first="sinh"), features=256)


def mind_style() -> LocationConfig:
    """MIND: 12 residual sine layers of width 3072 on Equal Earth (MIND distils other encoders)."""
    return LocationConfig(EqualEarth(), ResidualSiren(3072, 12), features=512)


def unigeoclip_style() -> LocationConfig:
    """UniGeoCLIP: GeoCLIP's Fourier features at five scales as tokens of a transformer."""
    scales = EqualEarthFourier(256, (1.0, 4.0, 16.0, 64.0, 256.0))
    return LocationConfig(scales, TokenTransformer(width=256, depth=12, heads=4), features=512)


def sphere_fourier() -> LocationConfig:
    """Fourier features of the unit vector and a residual MLP: fine scales without a seam."""
    return LocationConfig(SphereFourier(), ResidualMlp(512, 4), features=256)
