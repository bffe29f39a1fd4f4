"""What contrastive losses compare, what they say of it, and what their plain forms share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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
