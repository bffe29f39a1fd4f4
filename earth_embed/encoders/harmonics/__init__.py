"""Real spherical harmonics of any degree, alone and fused with the dense layer after them.

`basis` is the reference and the front door; the other modules are the forms that it chooses from.
"""

from earth_embed.encoders.harmonics.basis import (
    NORMALISATIONS,
    degree_and_order,
    harmonics_dense,
    satclip_factors,
    spherical_harmonics,
)

__all__ = [
    "NORMALISATIONS",
    "degree_and_order",
    "harmonics_dense",
    "satclip_factors",
    "spherical_harmonics",
]
