"""Space2Vec: sines and cosines of lon and lat at geometric scales, on a grid or in a hexagon."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.config import Space2Vec, Sphere2Vec
from earth_embed.encoders.positional.base import Encoding

_DIRECTIONS = {
    "grid": np.array([[1.0, 0.0], [0.0, 1.0]]),
    "theory": np.array([[1.0, 0.0], [-0.5, np.sqrt(3) / 2], [-0.5, -np.sqrt(3) / 2]]),
}


class Space2VecEncoding(Encoding):
    """sin(f_i ⟨a_j, (λ, φ)⟩) and the cosines, for directions a_j and S frequencies f_i.

    grid: a_j along lon and along lat; theory: three a_j 120° apart. The features of one scale
    follow those of the last: for each direction the sine, then the cosine. Angles are in radians.

    Parameters: none. Seam: a frequency that is no whole number does not close at the antimeridian,
    and the poles have many longitudes.

    References:
        Mai et al. 2020, "Multi-Scale Representation Learning for Spatial Feature Distributions
        using Grid Cells" (arXiv 2003.00824).
    """

    seam = "antimeridian, poles"
    config: Space2Vec

    @property
    def width(self) -> int:
        """2 features a direction and scale."""
        return 2 * len(_DIRECTIONS[self.config.variant]) * self.config.scales

    @property
    def flops(self) -> int:
        """3 for each projection; for each feature half a product, and its function."""
        return 3 * len(_DIRECTIONS[self.config.variant]) + self.width * 3 // 2 + 2

    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, width)."""
        directions = jnp.asarray(_DIRECTIONS[self.config.variant], jnp.float32)  # (J, 2)
        along = jnp.matmul(jnp.radians(lonlat), directions.T, precision="highest")  # (N, J)
        angle = along[:, None, :] * geometric_frequencies(self.config)[None, :, None]  # (N, S, J)
        return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(len(lonlat), -1)


def geometric_frequencies(config: Space2Vec | Sphere2Vec) -> jax.Array:
    """f_i from 1/max_radius to 1/min_radius in equal ratios: (S,) float32, lowest first."""
    ends = 1 / config.max_radius, 1 / config.min_radius
    return jnp.asarray(np.geomspace(*ends, config.scales), jnp.float32)
