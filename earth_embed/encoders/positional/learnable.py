"""Learnable vectors on the sphere: on hashed grids at several resolutions, or at Voronoi sites."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.checks import Checked, Checks
from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.encoders.positional.base import OWNER, EncodingModule
from earth_embed.encoders.positional.plain import unit_vector


@dataclass(frozen=True)
class HashGrid(Checked, owner=OWNER):
    """Learnable vectors on cubic grids of several resolutions, stored by hash (Instant NGP)."""

    levels: int = 8
    """Number of grids."""
    table: int = 16_384
    """Number of vectors per grid; the vertices of finer grids share them by hashing."""
    width: int = 4
    """Dimension of each vector."""
    coarsest_km: float = 4000.0
    """Cell size of the coarsest grid, in km."""
    finest_km: float = 50.0
    """Cell size of the finest grid, in km."""

    def _check(self, checks: Checks) -> None:
        for name in ("levels", "table", "width"):
            checks.at_least(name, getattr(self, name), 1)
        checks.expect(self.finest_km >= 1, "finest_km", self.finest_km, "a number ≥ 1")
        ordered = self.finest_km <= self.coarsest_km
        checks.expect(ordered, "finest_km", self.finest_km, f"at most {self.coarsest_km}")

    @property
    def scales(self) -> int:
        """Number of scales."""
        return self.levels

    def module(self, **options: Any) -> HashGridEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return HashGridEncoding(self, **options)


_PRIMES = np.array([1, 2_654_435_761, 805_459_861], np.uint32)


_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)), np.int32)  # (8, 3)


class HashGridEncoding(EncodingModule):
    """Trilinear interpolation of the vectors at a cell's 8 corners, on each of several cubic grids.

    A grid of n³ cells spans the cube around the sphere. Each of its (n + 1)³ vertices has its own
    vector if the table is large enough. Otherwise they share the table's T vectors by a hash:

        index = (x · 1 xor y · 2654435761 xor z · 805459861) mod T

    Only vertices next to the sphere are ever read, so training can resolve most collisions. Vectors
    start uniform in ±1e-4. Cell sizes shrink geometrically from level to level. The encoding is
    continuous, with kinks at the cells' faces.

    Parameters: levels · T · width. No seam.

    References:
        Müller et al. 2022, "Instant Neural Graphics Primitives with a Multiresolution Hash
        Encoding" (arXiv 2201.05989), eq. 4; here of the unit vector.
    """

    config: HashGrid

    @property
    def width(self) -> int:
        """One vector per level."""
        return self.config.levels * self.config.width

    @nn.compact
    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, width)."""
        config = self.config
        shape = (config.levels, config.table, config.width)
        tables = self.param("vectors", _start, shape)
        unit = unit_vector(lonlat)
        cells = np.geomspace(config.coarsest_km, config.finest_km, config.levels)
        sizes = np.maximum(1, np.round(2 * EARTH_RADIUS_KM / cells)).astype(int)
        levels = zip(tables, sizes.tolist(), strict=True)
        return jnp.concatenate([interpolate(table, unit, n) for table, n in levels], axis=-1)


def _start(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.uniform(key, shape, jnp.float32, -1e-4, 1e-4)


def interpolate(table: jax.Array, unit: jax.Array, n: int) -> jax.Array:
    """Interpolates vectors (T, width) on a grid of n cells an axis, trilinearly: (N, width).

    The points `unit` are (N, 3) in [−1, 1]³.
    """
    place = (unit + 1) * (n / 2)
    low = jnp.clip(jnp.floor(place), 0, n - 1)
    part = place - low  # (N, 3) in [0, 1]
    corner = low.astype(jnp.int32)[:, None, :] + jnp.asarray(_CORNERS)[None]  # (N, 8, 3)
    if (n + 1) ** 3 <= len(table):
        index = (corner[..., 0] * (n + 1) + corner[..., 1]) * (n + 1) + corner[..., 2]
    else:
        mixed = corner.astype(jnp.uint32) * jnp.asarray(_PRIMES)[None, None]
        mixed = mixed[..., 0] ^ mixed[..., 1] ^ mixed[..., 2]
        index = (mixed % jnp.uint32(len(table))).astype(jnp.int32)
    sides = jnp.where(_CORNERS[None] == 1, part[:, None, :], 1 - part[:, None, :])  # (N, 8, 3)
    return (sides.prod(axis=-1)[..., None] * table[index]).sum(axis=1)


@dataclass(frozen=True)
class SphericalVoronoi(Checked, owner=OWNER):
    """Learnable sites on the sphere with learnable vectors; a place blends those nearby."""

    sites: int = 1024
    """Number of sites, evenly spread at initialisation."""
    width: int = 64
    """Dimension of each site's vector."""
    blur_km: float = 300.0
    """Initial distance over which neighbouring cells blend, in km."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("sites", self.sites, 1)
        checks.at_least("width", self.width, 1)
        checks.at_least("blur_km", self.blur_km, 20)  # float32 cannot resolve sharper borders

    def module(self, **options: Any) -> SphericalVoronoiEncoding:
        """Builds the Flax module; `options` are attributes of `EncodingModule`."""
        return SphericalVoronoiEncoding(self, **options)


class SphericalVoronoiEncoding(EncodingModule):
    """Σ_k p_k(u) e_k with p = softmax_k(κ ⟨u, s_k⟩), for sites s_k with vectors e_k.

    With κ = (R/b)² and distance d to the site, κ⟨u, s_k⟩ is about a constant minus d²/2b²: vectors
    blend over a distance b, and as b → 0 a place takes the vector of its nearest site. Sites,
    vectors and ln κ are trained. Sites start on a Fibonacci lattice (equal areas), vectors as
    N(0, 1).

    Parameters: sites · (3 + width) + 1. No seam.

    References:
        "Spherical Voronoi: Directional Appearance as a Differentiable Partition of the Sphere"
        (2025), on radiance; TTE for 4096 learnable sites on the Earth.
    """

    config: SphericalVoronoi

    @property
    def width(self) -> int:
        """The dimension of the vectors."""
        return self.config.width

    @nn.compact
    def __call__(self, lonlat: jax.Array) -> jax.Array:
        """Maps (N, 2) float32 degrees to (N, width)."""
        config = self.config
        sites = self.param("sites", lambda _: jnp.asarray(fibonacci_lattice(config.sites)))
        start = nn.initializers.constant(2 * np.log(EARTH_RADIUS_KM / config.blur_km))
        log_kappa = self.param("log_kappa", start, ())
        vectors = self.param("vectors", nn.initializers.normal(1.0), (config.sites, config.width))
        sites = sites / jnp.linalg.norm(sites, axis=-1, keepdims=True)
        cosine = jnp.matmul(unit_vector(lonlat), sites.T, precision="highest")
        return nn.softmax(jnp.exp(log_kappa) * cosine) @ vectors


def fibonacci_lattice(count: int) -> np.ndarray:
    """`count` unit vectors that divide the sphere into equal areas: (count, 3) float32."""
    i = np.arange(count)
    z = (2 * i + 1) / count - 1
    lon = i * np.pi * (3 - np.sqrt(5))  # the golden angle
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(lon), ring * np.sin(lon), z], axis=-1).astype(np.float32)
