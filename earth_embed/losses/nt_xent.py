"""NT-Xent, the normalised temperature-scaled cross-entropy, as plain reference functions."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Contrast(NamedTuple):
    """What one contrastive comparison says of each sample."""

    loss: jax.Array
    """(B,) loss of each sample."""
    retrieved: jax.Array
    """(B,) 1 where the sample's own location is more similar than every other candidate, else 0."""


def normalise(embeddings: jax.Array) -> jax.Array:
    """L2-normalises the rows of (B, D); the gradient stays finite at zero."""
    square = jnp.sum(embeddings**2, axis=-1, keepdims=True)
    return embeddings * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def nt_xent(
    anchors: jax.Array,
    candidates: jax.Array,
    logit_scale: jax.Array,
    groups: jax.Array | None = None,
) -> Contrast:
    """Asymmetric NT-Xent: each anchor finds its own candidate among all of them.

        ℓ_i = −log( exp(s·zᵢ·eᵢ) / Σⱼ exp(s·zᵢ·eⱼ) )        z, e of unit length

    In MELT and SALT the anchors are samples and the candidates locations (arXiv 2606.20167).

    Args:
        anchors: (B, D), of any length.
        candidates: (B, D), of any length; row i belongs to anchor i.
        logit_scale: s = 1/τ, scalar or (B,) with one for each anchor.
        groups: (B,) integers; an anchor competes only with candidates of its own group. None: all.

    Returns:
        The loss and the retrieval of each anchor, (B,) float32 each.
    """
    z = normalise(anchors.astype(jnp.float32))
    e = normalise(candidates.astype(jnp.float32))
    scale = jnp.broadcast_to(logit_scale, z.shape[:1])[:, None]
    logits = scale * jnp.matmul(z, e.T, precision=jax.lax.Precision.HIGHEST)  # (B, B)
    if groups is not None:
        same = groups[:, None] == groups[None, :]
        logits = jnp.where(same, logits, -jnp.inf)
    own = jnp.diagonal(logits)  # (B,)
    loss = jax.nn.logsumexp(logits, axis=1) - own
    rivals = (logits >= own[:, None]).sum(axis=1) - 1  # a tie is a miss: no knowledge, no credit
    return Contrast(loss, (rivals == 0).astype(jnp.float32))


def symmetric_nt_xent(
    samples: jax.Array,
    locations: jax.Array,
    logit_scale: jax.Array,
    groups: jax.Array | None = None,
) -> Contrast:
    """The mean of sample → location and location → sample (CLIP, SatCLIP).

    Args and returns as in `nt_xent`; retrieval is that of sample → location.
    """
    forward = nt_xent(samples, locations, logit_scale, groups)
    backward = nt_xent(locations, samples, logit_scale, groups)
    return Contrast(0.5 * (forward.loss + backward.loss), forward.retrieved)


LOSSES = {"sample_to_location": nt_xent, "symmetric": symmetric_nt_xent}
"""The losses by `direction`."""
