"""The sigmoid loss: an independent binary decision for every pair of the batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from earth_embed.losses.pairs import Contrast, Pairs, Rule, Side, cosine_logits, retrieved


def sigmoid(pairs: Pairs) -> Contrast:
    """The pairwise sigmoid loss of SigLIP (arXiv 2303.15343, section 3.2).

    ℓ_i = −Σⱼ log σ( y_ij (x_ij + b) )        y_ii = 1,  y_ij = −1 else,  x_ij = s·zᵢ·eⱼ
    """
    x = cosine_logits(pairs)  # (B, B)
    bias = jnp.broadcast_to(pairs.logit_bias, x.shape[:1])[:, None]
    signs = 2 * jnp.eye(len(x), dtype=x.dtype) - 1
    # Other groups have x = −∞: negatives that cost nothing.
    return Contrast(-jax.nn.log_sigmoid(signs * (x + bias)).sum(axis=1), retrieved(x))


class SigmoidRule(Rule[jax.Array]):
    """ℓ_i = Σⱼ softplus(x_ij) − x_ii with the bias in x, as softplus(−x) = softplus(x) − x."""

    def start(self, zero: jax.Array) -> jax.Array:
        """An empty sum."""
        return zero

    def fold(self, stats: jax.Array, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        """Adds a tile's columns to the sum."""
        return stats + jax.nn.softplus(x).sum(axis=1)

    def total(self, stats: jax.Array) -> jax.Array:
        """The sum itself."""
        return stats

    def slope(self, stats: jax.Array, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        """σ(x), the derivative of softplus(x)."""
        return jax.nn.sigmoid(x)

    def finish(self, total: jax.Array, own: jax.Array) -> jax.Array:
        """The own candidate is the only positive."""
        return total - own
