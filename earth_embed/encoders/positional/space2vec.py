"""Space2Vec and Sphere2Vec: sines and cosines of lon and lat at geometrically spaced scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.checks import Checked, Checks
from earth_embed.encoders.positional.base import OWNER, EncodingModule


@dataclass(frozen=True)
class Space2Vec(Checked, owner=OWNER):
    """Sines and cosines of lon and lat at geometrically spaced scales (Space2Vec)."""

    variant: Literal["grid", "theory"] = "theory"
    """Directions: lon and lat (4 features per scale), or three at 120° to each other (6)."""
    scales: int = 32
    """Number S of scales."""
    min_radius: float = 0.01
    """The finest scale, in radians: its period is 2π times that."""
    max_radius: float = 1.0
    """The coarsest scale, in radians."""

    def _check(self, checks: Checks) -> None:
        _check_radii(checks, self)

    def module(self, **options: Any) -> Space2VecEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return Space2VecEncoding(self, **options)


@dataclass(frozen=True)
class Sphere2Vec(Checked, owner=OWNER):
    """Products of sines and cosines of lon and lat at geometrically spaced scales (Sphere2Vec)."""

    variant: Literal["C", "C+", "M", "M+", "DFS"] = "C+"
    """The paper's variants, with 3, 7, 5 and 8 features per scale; DFS has 4 S² + 4 S in all."""
    scales: int = 32
    """Number S of scales."""
    min_radius: float = 0.01
    """The finest scale, in radians: its period is 2π times that."""
    max_radius: float = 1.0
    """The coarsest scale, in radians."""

    def _check(self, checks: Checks) -> None:
        _check_radii(checks, self)

    def module(self, **options: Any) -> Sphere2VecEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return Sphere2VecEncoding(self, **options)


def _check_radii(checks: Checks, settings: Space2Vec | Sphere2Vec) -> None:
    checks.at_least("scales", settings.scales, 1)
    checks.positive("min_radius", settings.min_radius)
    ordered = settings.min_radius <= settings.max_radius
    allowed = f"at most max_radius = {settings.max_radius}"
    checks.expect(ordered, "min_radius", settings.min_radius, allowed)


_DIRECTIONS = {
    "grid": np.array([[1.0, 0.0], [0.0, 1.0]]),
    "theory": np.array([[1.0, 0.0], [-0.5, np.sqrt(3) / 2], [-0.5, -np.sqrt(3) / 2]]),
}


class Space2VecEncoding(EncodingModule):
    """sin(f_i ⟨a_j, (λ, φ)⟩) and the cosines, for directions a_j and S frequencies f_i.

    "grid" has a_j along lon and lat, "theory" three a_j 120° apart. Features are ordered by scale,
    then by direction: the sine, then the cosine. Angles are in radians.

    Parameters: none. Seam: waves of non-integer frequency do not close at the antimeridian, and the
    poles have many longitudes.

    References:
        Mai et al. 2020, "Multi-Scale Representation Learning for Spatial Feature Distributions
        using Grid Cells" (arXiv 2003.00824).
    """

    seam = "antimeridian, poles"
    config: Space2Vec

    @property
    def width(self) -> int:
        """2 features per direction and scale."""
        return 2 * len(_DIRECTIONS[self.config.variant]) * self.config.scales

    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, width)."""
        directions = jnp.asarray(_DIRECTIONS[self.config.variant], jnp.float32)  # (J, 2)
        along = jnp.matmul(jnp.radians(lonlat), directions.T, precision="highest")  # (N, J)
        angle = along[:, None, :] * geometric_frequencies(self.config)[None, :, None]  # (N, S, J)
        return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(len(lonlat), -1)


def geometric_frequencies(config: Space2Vec | Sphere2Vec) -> jax.Array:
    """Frequencies f_i from 1/max_radius to 1/min_radius, geometrically spaced: (S,) float32."""
    ends = 1 / config.max_radius, 1 / config.min_radius
    return jnp.asarray(np.geomspace(*ends, config.scales), jnp.float32)


_FEATURES = {"C": 3, "C+": 7, "M": 5, "M+": 8}


class Sphere2VecEncoding(EncodingModule):
    """Features at S frequencies f_i, with λⁱ = f_i λ and φⁱ = f_i φ in radians.

        C    sin φⁱ, cos φⁱ cos λⁱ, cos φⁱ sin λⁱ
        M    sin φⁱ, cos φⁱ cos λ, cos φ cos λⁱ, cos φⁱ sin λ, cos φ sin λⁱ
        C+   C and sin φⁱ, cos φⁱ, sin λⁱ, cos λⁱ
        M+   M and cos φⁱ, sin λⁱ, cos λⁱ
        DFS  sin φⁱ, cos φⁱ, sin λⁱ, cos λⁱ, and the four products of each of
             sin φⁱ, cos φⁱ with each of sin λʲ, cos λʲ

    Features are ordered by scale; in DFS, each single term for all i, then each product for all
    (i, j), j fastest.

    Parameters: none. Seam: C is the unit vector only at frequency 1. At others, cos φⁱ does not
    vanish at the poles, and waves of non-integer frequency do not close at the antimeridian.

    References:
        Mai et al. 2023, "Sphere2Vec" (arXiv 2306.17624).
    """

    seam = "antimeridian, poles"
    config: Sphere2Vec

    @property
    def width(self) -> int:
        """3, 7, 5 or 8 features per scale, or 4 S² + 4 S in all."""
        scales = self.config.scales
        if self.config.variant == "DFS":
            return 4 * scales**2 + 4 * scales
        return _FEATURES[self.config.variant] * scales

    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, width)."""
        variant = self.config.variant
        lon, lat = jnp.radians(lonlat)[:, None, :].transpose(2, 0, 1)  # (N, 1) each
        f = geometric_frequencies(self.config)[None, :]  # (1, S)
        lon_i, lat_i = f * lon, f * lat  # (N, S) each
        sin_lon, cos_lon = jnp.sin(lon_i), jnp.cos(lon_i)
        sin_lat, cos_lat = jnp.sin(lat_i), jnp.cos(lat_i)
        if variant == "DFS":
            singles = [sin_lat, cos_lat, sin_lon, cos_lon]
            products = [
                (a[:, :, None] * b[:, None, :]).reshape(len(lonlat), -1)
                for a in (sin_lat, cos_lat)
                for b in (sin_lon, cos_lon)
            ]
            return jnp.concatenate([*singles, *products], axis=-1)
        if variant in ("C", "C+"):
            features = [sin_lat, cos_lat * cos_lon, cos_lat * sin_lon]
        else:
            features = [
                sin_lat,
                *(cos_lat * jnp.cos(lon), jnp.cos(lat) * cos_lon),
                *(cos_lat * jnp.sin(lon), jnp.cos(lat) * sin_lon),
            ]
        if variant == "C+":
            features += [sin_lat, cos_lat, sin_lon, cos_lon]
        if variant == "M+":
            features += [cos_lat, sin_lon, cos_lon]
        return jnp.stack(features, axis=-1).reshape(len(lonlat), -1)
