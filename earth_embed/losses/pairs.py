"""What contrastive losses compare, what they say of it, and what their plain forms share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp


class Pairs(NamedTuple):
    """A batch as every loss takes it: candidate i belongs to anchor i.

    In MELT and SALT the anchors are samples and the candidates locations (arXiv 2606.20167).
    """

    anchors: jax.Array
    """(B, D), of any length."""
    candidates: jax.Array
    """(B, D), of any length."""
    logit_scale: jax.Array
    """s = 1/τ, scalar or (B,) with one for each anchor."""
    logit_bias: jax.Array | float = 0.0
    """b, scalar or (B,) with one for each anchor; `sigmoid` alone reads it."""
    groups: jax.Array | None = None
    """(B,) integers ≥ 0; an anchor competes only with candidates of its own group. None: all."""
    lonlat: jax.Array | None = None
    """(B, 2) degrees; the geodesic losses alone read it."""


class Contrast(NamedTuple):
    """What one contrastive comparison says of each sample."""

    loss: jax.Array
    """(B,) loss of each sample."""
    retrieved: jax.Array
    """(B,) 1 where the sample's own location is more similar than every other candidate, else 0."""


Comparison = Callable[[Pairs], Contrast]
"""A contrastive loss. The loss of a batch is the mean of `loss`."""


def symmetric(compare: Comparison) -> Comparison:
    """The mean of sample → location and location → sample (CLIP, SatCLIP).

    Retrieval is that of sample → location.
    """

    def both(pairs: Pairs) -> Contrast:
        forward = compare(pairs)
        backward = compare(pairs._replace(anchors=pairs.candidates, candidates=pairs.anchors))
        return Contrast(0.5 * (forward.loss + backward.loss), forward.retrieved)

    return both


def normalise(embeddings: jax.Array) -> jax.Array:
    """L2-normalises the rows of (B, D); the gradient stays finite at zero."""
    square = jnp.sum(embeddings**2, axis=-1, keepdims=True)
    return embeddings * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """The matrix product in full float32 precision on every device."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def cosine_logits(pairs: Pairs) -> jax.Array:
    """s·zᵢ·eⱼ with z, e of unit length, (B, B) float32; −∞ where j is of another group."""
    z = normalise(pairs.anchors.astype(jnp.float32))
    e = normalise(pairs.candidates.astype(jnp.float32))
    scale = jnp.broadcast_to(pairs.logit_scale, z.shape[:1])[:, None]
    logits = product(scale * z, e.T)  # (B, B); scaling that instead would be one pass more
    if pairs.groups is None:
        return logits
    return jnp.where(pairs.groups[:, None] == pairs.groups[None, :], logits, -jnp.inf)


def own(logits: jax.Array) -> jax.Array:
    """The diagonal x_ii of (B, B) logits, (B,).

    By a mask, not by indices: where devices share the rows, each would be sent all indices, and in
    the gradient all entries.
    """
    return jnp.where(jnp.eye(len(logits), dtype=bool), logits, 0).sum(axis=1)


def retrieved(logits: jax.Array) -> jax.Array:
    """(B,) float32: 1 where the diagonal of (B, B) logits is the one largest of its row."""
    rivals = (logits >= own(logits)[:, None]).sum(axis=1) - 1
    return (rivals == 0).astype(jnp.float32)  # a tie is a miss: no knowledge, no credit


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
