"""What a loss is to the tiles: a reduction over candidates, and its slope.

A reduction over each anchor's candidates can be fed one tile of logits after another; once it is
known, its slope in any logit is known too, and no tile needs to be kept.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp

from earth_embed.losses.pairs import Pairs

Stats = TypeVar("Stats")
Point: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]
"""x, y and z of unit vectors. (In one array, a tile's slice of it would keep XLA's CPU compiler
from vectorising whatever is fused with it: distances took seven times as long.)"""


class Side(NamedTuple):
    """What a tile knows of its rows or columns besides their embeddings."""

    number: jax.Array
    """(T,) int32, distinct in the whole batch."""
    group: jax.Array
    """(T,) integers; −1 where there is no example, only padding."""
    point: Point
    """The places, (T,) each."""


class Rule(Generic[Stats]):
    """A loss ℓ_i = finish(total of the logits x_ij over j, x_ii); x_ij = −∞ in another group."""

    def start(self, zero: jax.Array) -> Stats:
        """The statistics of no candidates, each shaped like `zero`."""
        raise NotImplementedError

    def fold(self, stats: Stats, x: jax.Array, rows: Side, columns: Side) -> Stats:
        """The statistics (T,) after one more tile of logits x (T, T)."""
        raise NotImplementedError

    def total(self, stats: Stats) -> jax.Array:
        """The reduction, from the statistics of all candidates."""
        raise NotImplementedError

    def slope(self, stats: Stats, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        """∂total_i/∂x_ij in one tile, (T, T), from the statistics of all candidates."""
        raise NotImplementedError

    def finish(self, total: jax.Array, own: jax.Array) -> jax.Array:
        """The losses (B,) from totals and the anchors' own logits, differentiable in both."""
        raise NotImplementedError


class Filled(NamedTuple):
    """`Pairs` with nothing left out: B rows of each, or as many tiles."""

    anchors: jax.Array
    candidates: jax.Array
    scale: jax.Array
    bias: jax.Array
    group: jax.Array
    lonlat: jax.Array


def fill(pairs: Pairs) -> Filled:
    """Fills a batch up, so that all of it can be split alike."""
    size = (len(pairs.anchors),)
    return Filled(
        pairs.anchors.astype(jnp.float32),
        pairs.candidates.astype(jnp.float32),
        scale=jnp.broadcast_to(pairs.logit_scale, size),
        bias=jnp.broadcast_to(jnp.asarray(pairs.logit_bias, jnp.float32), size),
        group=jnp.zeros(size, jnp.int32) if pairs.groups is None else pairs.groups,
        lonlat=jnp.zeros((*size, 2)) if pairs.lonlat is None else pairs.lonlat,
    )


def unit_vectors(lonlat: jax.Array) -> Point:
    """Points on the unit sphere, (…,) each, of (…, 2) degrees."""
    lon, lat = jnp.radians(lonlat[..., 0]), jnp.radians(lonlat[..., 1])
    points = [jnp.cos(lat) * jnp.cos(lon), jnp.cos(lat) * jnp.sin(lon), jnp.sin(lat)]
    # Stacked, to be numbers in memory: a product fused with a difference is rounded once, not
    # twice, and a place would not be where it is.
    x, y, z = jax.lax.optimization_barrier(jnp.stack(points))
    return x, y, z
