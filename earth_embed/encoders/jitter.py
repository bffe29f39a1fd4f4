"""Places moved a little: uniform in a disc on the sphere."""

from __future__ import annotations

import jax
import numpy as np

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector


def jitter(keys: jax.Array, lonlat: np.ndarray, metres: float) -> np.ndarray:
    """Moves each place to one drawn uniformly from the disc (spherical cap) around it.

    A place p with unit vectors n to the north and e to the east is rotated by δ towards bearing β:

        p' = cos δ · p + sin δ · (cos β · n + sin β · e),   β ~ U(0, 2π)
        area within δ ∝ sin²(δ/2)   ⇒   sin(δ/2) = √u · sin(θ/2),   u ~ U(0, 1),   θ = metres / R

    No direction is preferred, at a pole and across the antimeridian as elsewhere. In float64:
    float32 degrees are steps of up to 1.7 m.

    Args:
        keys: (N,) keys, one for each place.
        lonlat: (N, 2), degrees.
        metres: Radius of the disc along the sphere's surface, 0 … half its circumference.

    Returns:
        (N, 2) float64 degrees, lon in [−180, 180].
    """
    drawn = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys)
    u, turn = np.asarray(drawn, np.float64).T
    theta = metres / (1000 * EARTH_RADIUS_KM)
    delta = 2 * np.arcsin(np.sqrt(u) * np.sin(theta / 2))[:, None]
    beta = 2 * np.pi * turn[:, None]
    lon, lat = np.radians(np.asarray(lonlat, np.float64)).T
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=-1)
    tangent = np.cos(beta) * north + np.sin(beta) * east
    x, y, z = (np.cos(delta) * unit_vector(lonlat) + np.sin(delta) * tangent).T
    return np.degrees(np.stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))], axis=-1))
