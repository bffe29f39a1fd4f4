"""Real spherical harmonics of any degree, alone and fused with the dense layer after them."""

from earth_embed.encoders.harmonics.basis import (
    NORMALISATIONS,
    degree_and_order,
    satclip_factors,
    spherical_harmonics,
)
from earth_embed.encoders.harmonics.fused import harmonics_dense, harmonics_flops

__all__ = [
    "NORMALISATIONS",
    "degree_and_order",
    "harmonics_dense",
    "harmonics_flops",
    "satclip_factors",
    "spherical_harmonics",
]
