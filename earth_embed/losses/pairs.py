"""The interface of contrastive losses: what they compare, what they return, and how they tile.

`Pairs` → `Comparison` → `Contrast` is a loss on the whole similarity matrix; a `Rule` is the same
loss for one tile of it. The helpers are shared by both forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp


class Pairs(NamedTuple):
    """The input of every loss: candidate i belongs to anchor i.

    In MELT and SALT anchors are samples and candidates are locations (arXiv 2606.20167).
    """

    anchors: jax.Array
    """(B, D), not normalised."""
    candidates: jax.Array
    """(B, D), not normalised."""
    logit_scale: jax.Array
    """s = 1/τ, scalar or (B,), one per anchor."""
    logit_bias: jax.Array | float = 0.0
    """b, scalar or (B,), one per anchor; only `sigmoid` reads it."""
    groups: jax.Array | None = None
    """(B,) integers ≥ 0; anchors compete only with candidates of their own group. None: all."""
    lonlat: jax.Array | None = None
    """(B, 2) degrees; only the geodesic losses read it."""


class Contrast(NamedTuple):
    """The output of a loss, for each anchor."""

    loss: jax.Array
    """(B,) the loss ℓ_i."""
    retrieved: jax.Array
    """(B,) 1 where the own candidate is more similar than every other, else 0."""


Comparison = Callable[[Pairs], Contrast]
"""A contrastive loss; a batch's loss is a mean of ℓ_i."""


def symmetric(compare: Comparison) -> Comparison:
    """The mean of sample → location and location → sample (CLIP, SatCLIP).

    Retrieval counts sample → location only.
    """

    def mean_of_directions(pairs: Pairs) -> Contrast:
        forward = compare(pairs)
        backward = compare(pairs._replace(anchors=pairs.candidates, candidates=pairs.anchors))
        return Contrast(0.5 * (forward.loss + backward.loss), forward.retrieved)

    return mean_of_directions


def normalise(embeddings: jax.Array) -> jax.Array:
    """L2-normalises the rows of (B, D), with a finite gradient at zero."""
    square = jnp.sum(embeddings**2, axis=-1, keepdims=True)
    return embeddings * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """The matrix product in full float32 precision on all hardware."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def cosine_logits(pairs: Pairs) -> jax.Array:
    """s·zᵢ·eⱼ with z, e of unit length, (B, B) float32; −∞ where j is of another group."""
    z = normalise(pairs.anchors.astype(jnp.float32))
    e = normalise(pairs.candidates.astype(jnp.float32))
    scale = jnp.broadcast_to(pairs.logit_scale, z.shape[:1])[:, None]
    logits = product(scale * z, e.T)  # (B, B); scaling the logits would be an extra pass
    if pairs.groups is None:
        return logits
    return jnp.where(pairs.groups[:, None] == pairs.groups[None, :], logits, -jnp.inf)


def own(logits: jax.Array) -> jax.Array:
    """The diagonal x_ii of (B, B) logits, (B,).

    A mask, not indexing: with rows sharded over devices, indexing would send all indices to every
    device, and all entries in the gradient.
    """
    return jnp.where(jnp.eye(len(logits), dtype=bool), logits, 0).sum(axis=1)


def retrieved(logits: jax.Array) -> jax.Array:
    """(B,) float32: 1 where the diagonal entry of (B, B) logits is the only largest of its row.

    Ties count as misses: a constant embedding earns nothing.
    """
    rivals = (logits >= own(logits)[:, None]).sum(axis=1) - 1
    return (rivals == 0).astype(jnp.float32)


Stats = TypeVar("Stats")

Point: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]
"""x, y and z of unit vectors, as separate arrays. Slicing tiles from a single array keeps XLA's CPU
compiler from vectorising what is fused with it: distances took seven times as long."""


class Side(NamedTuple):
    """What a tile knows about its rows or columns besides their embeddings."""

    number: jax.Array
    """(T,) int32, unique in the whole batch."""
    group: jax.Array
    """(T,) integers; −1 for padding."""
    point: Point
    """The locations, (T,) each."""


class Rule(Generic[Stats]):
    """A loss ℓ_i = finish(total over j of x_ij, x_ii), accumulated tile by tile.

    x_ij are logits, −∞ where j belongs to another group than i.
    """

    def start(self, zero: jax.Array) -> Stats:
        """The statistics before the first tile, each shaped like `zero`."""
        raise NotImplementedError

    def fold(self, stats: Stats, x: jax.Array, rows: Side, columns: Side) -> Stats:
        """The statistics (T,) after one more tile of logits x (T, T)."""
        raise NotImplementedError

    def total(self, stats: Stats) -> jax.Array:
        """The total, from the statistics of all candidates."""
        raise NotImplementedError

    def slope(self, stats: Stats, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        """∂total_i/∂x_ij of one tile, (T, T), from the statistics of all candidates."""
        raise NotImplementedError

    def finish(self, total: jax.Array, own: jax.Array) -> jax.Array:
        """The losses (B,) from totals and own logits x_ii, differentiable in both."""
        raise NotImplementedError


class Filled(NamedTuple):
    """`Pairs` without optional fields: B rows of each."""

    anchors: jax.Array
    candidates: jax.Array
    scale: jax.Array
    bias: jax.Array
    group: jax.Array
    lonlat: jax.Array


def fill(pairs: Pairs) -> Filled:
    """Broadcasts scalars and replaces missing fields, so that all fields can be split alike."""
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
    """Points on the unit sphere: (…, 2) degrees → x, y and z, (…,) each."""
    lon, lat = jnp.radians(lonlat[..., 0]), jnp.radians(lonlat[..., 1])
    points = [jnp.cos(lat) * jnp.cos(lon), jnp.cos(lat) * jnp.sin(lon), jnp.sin(lat)]
    # Materialise with a barrier: if XLA fuses a product into the later subtraction (FMA), the two
    # sides round differently and a point gets a non-zero distance to itself.
    x, y, z = jax.lax.optimization_barrier(jnp.stack(points))
    return x, y, z
