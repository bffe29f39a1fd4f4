"""Contrastive losses that ignore geography: NT-Xent and the pairwise sigmoid loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from earth_embed.losses.pairs import Contrast, Pairs, Rule, Side, cosine_logits, own, retrieved


def nt_xent(pairs: Pairs) -> Contrast:
    """Asymmetric NT-Xent: each anchor must pick its own candidate among all of them.

    ℓ_i = −log( exp(x_ii) / Σⱼ exp(x_ij) )        x_ij = s·zᵢ·eⱼ,  z, e of unit length
    """
    x = cosine_logits(pairs)  # (B, B)
    return Contrast(jax.nn.logsumexp(x, axis=1) - own(x), retrieved(x))


class NtXentRule(Rule[jax.Array]):
    """ℓ_i = L_i − x_ii with L_i the online log-sum-exp, so ∂L_i/∂x_ij = exp(x_ij − L_i)."""

    def start(self, zero: jax.Array) -> jax.Array:
        """The log of an empty sum; Inf-CL (arXiv 2410.17243, eq. 4) starts at 0, which adds e⁰."""
        return zero - jnp.inf

    def fold(self, stats: jax.Array, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        """Adds a tile's columns to L."""
        return jnp.logaddexp(stats, jax.nn.logsumexp(x, axis=1))

    def total(self, stats: jax.Array) -> jax.Array:
        """L itself."""
        return stats

    def slope(self, stats: jax.Array, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        """This tile's columns of the softmax over all candidates."""
        return jnp.exp(x - stats[:, None])

    def finish(self, total: jax.Array, own: jax.Array) -> jax.Array:
        """ℓ = L − x_ii."""
        return total - own


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
