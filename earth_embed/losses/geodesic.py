"""NT-Xent in which nearby places are not full negatives: soft targets, or weighted negatives.

Nearby places look alike, so as negatives many of them are false. Both losses are options of this
project, not of the paper. Samples at the same point share the target, or are not negatives of each
other.
"""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp

from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.losses.nt_xent import NtXentRule
from earth_embed.losses.pairs import (
    Contrast,
    Pairs,
    Point,
    Rule,
    Side,
    cosine_logits,
    own,
    retrieved,
    unit_vectors,
)


def soft_targets(pairs: Pairs, bandwidth_km: float) -> Contrast:
    """Cross-entropy with targets that are spread over nearby places.

        ℓ_i = −Σⱼ q_ij log( exp(x_ij) / Σₖ exp(x_ik) )        x_ij = s·zᵢ·eⱼ
        q_ij = exp(−d_ij²/2h²) / Σₖ exp(−d_ik²/2h²)           j, k of i's group

    with great-circle distance d and bandwidth h. For distinct places, h → 0 gives NT-Xent. The
    lower bound of the loss is the entropy of q_i, not 0.
    """
    x = cosine_logits(pairs)  # (B, B)
    near = jnp.where(x > -jnp.inf, gaussian(_distances(pairs), bandwidth_km), 0)
    targets = near / near.sum(axis=1, keepdims=True)
    likelihood = jnp.where(x > -jnp.inf, jax.nn.log_softmax(x, axis=1), 0)
    return Contrast(-(targets * likelihood).sum(axis=1), retrieved(x))


def semivariogram(pairs: Pairs, range_km: float) -> Contrast:
    """NT-Xent with negatives weighted by their dissimilarity to the anchor's place.

        ℓ_i = −log( exp(x_ii) / (exp(x_ii) + Σⱼ≠ᵢ γ(d_ij) exp(x_ij)) )        x_ij = s·zᵢ·eⱼ
        γ(d) = 1 − exp(−d/r)

    γ is the exponential model of a semivariogram with sill 1 and range parameter r. For distinct
    places, r → 0 gives NT-Xent.
    """
    x = cosine_logits(pairs)  # (B, B)
    weights = exponential(_distances(pairs), range_km)
    weights = jnp.where(jnp.eye(len(x), dtype=bool), 1, weights)
    return Contrast(jax.nn.logsumexp(x, axis=1, b=weights) - own(x), retrieved(x))


Sums: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]
"""L, Σ k x and Σ k of each anchor, (T,) each."""


class SoftTargetsRule(Rule[Sums]):
    """ℓ_i = L_i − Σⱼ k_ij x_ij / Σⱼ k_ij, with L the log-sum-exp and k the Gaussian."""

    def __init__(self, bandwidth_km: float) -> None:
        """Sets the standard deviation of the Gaussian k."""
        self._softmax, self._bandwidth_km = NtXentRule(), bandwidth_km

    def start(self, zero: jax.Array) -> Sums:
        """L, Σ k x and Σ k without any candidates."""
        return self._softmax.start(zero), zero, zero

    def fold(self, stats: Sums, x: jax.Array, rows: Side, columns: Side) -> Sums:
        """Adds a tile's columns to all three."""
        lse, attraction, mass = stats
        near = self._near(x, rows, columns)
        return (
            self._softmax.fold(lse, x, rows, columns),
            attraction + jnp.where(near > 0, near * x, 0).sum(axis=1),
            mass + near.sum(axis=1),
        )

    def total(self, stats: Sums) -> jax.Array:
        """The whole loss."""
        lse, attraction, mass = stats
        return lse - attraction / mass

    def slope(self, stats: Sums, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        """Softmax minus targets."""
        lse, _, mass = stats
        targets = self._near(x, rows, columns) / mass[:, None]
        return self._softmax.slope(lse, x, rows, columns) - targets

    def finish(self, total: jax.Array, own: jax.Array) -> jax.Array:
        """The own candidate needs no extra term: it is one of the targets."""
        return total

    def _near(self, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        near = gaussian(great_circle_km(rows.point, columns.point), self._bandwidth_km)
        return jnp.where(x > -jnp.inf, near, 0)


class SemivariogramRule(NtXentRule):
    """ℓ_i = log( exp(x_ii) + exp(L_i) ) − x_ii with exp(L_i) = Σⱼ γ_ij exp(x_ij).

    γ is 0 at distance 0, so L excludes the own candidate.
    """

    def __init__(self, range_km: float) -> None:
        """Sets the range parameter of the exponential model."""
        self._range_km = range_km

    def fold(self, stats: jax.Array, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        """Adds a tile's columns, weighted, to L."""
        weights = self._weights(rows, columns)
        return jnp.logaddexp(stats, jax.nn.logsumexp(x, axis=1, b=weights))

    def slope(self, stats: jax.Array, x: jax.Array, rows: Side, columns: Side) -> jax.Array:
        """The weighted softmax; 0, not 0/0, if all candidates are at the anchor's place."""
        weights = self._weights(rows, columns)
        finite = jnp.where(stats > -jnp.inf, stats, 0)
        return weights * super().slope(finite, jnp.where(weights > 0, x, -jnp.inf), rows, columns)

    def finish(self, total: jax.Array, own: jax.Array) -> jax.Array:
        """Adds the own candidate, whose weight is 1."""
        return jax.nn.softplus(total - own)

    def _weights(self, rows: Side, columns: Side) -> jax.Array:
        return exponential(great_circle_km(rows.point, columns.point), self._range_km)


def great_circle_km(a: Point, b: Point) -> jax.Array:
    """Great-circle distances (N, M) in kilometres between N and M points.

        d = 2R · asin(h),   h = |a − b|/2

    In float32 half the chord, h, is accurate to a metre for nearby places, where acos(a·b) would be
    off by kilometres. (At the antipode it is off by kilometres too.) Three half-angle steps
    sin(θ/2) = sin θ / √(2 + 2 cos θ) and the Taylor series of asin up to the seventh power replace
    XLA's asin, which takes over ten times as long on a CPU.
    """
    dx, dy, dz = (u[:, None] - v[None, :] for u, v in zip(a, b, strict=True))
    square = dx**2 + dy**2 + dz**2
    h = jnp.minimum(0.5 * jnp.sqrt(square), 1)
    for _ in range(3):
        h = h / jnp.sqrt(2 + 2 * jnp.sqrt(1 - h * h))
    s = h * h
    return 16 * EARTH_RADIUS_KM * h * (1 + s * (1 / 6 + s * (3 / 40 + s * 5 / 112)))


def gaussian(distance_km: jax.Array, bandwidth_km: float) -> jax.Array:
    """exp(−d²/2h²)."""
    return jnp.exp(-0.5 * (distance_km / bandwidth_km) ** 2)


def exponential(distance_km: jax.Array, range_km: float) -> jax.Array:
    """γ(d) = 1 − exp(−d/r), exactly 0 at d = 0."""
    return 1 - jnp.exp(-distance_km / range_km)


def _distances(pairs: Pairs) -> jax.Array:
    """(B, B) km between the places of a batch."""
    assert pairs.lonlat is not None
    points = unit_vectors(pairs.lonlat)
    return great_circle_km(points, points)
