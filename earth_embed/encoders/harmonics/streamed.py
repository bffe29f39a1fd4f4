"""Harmonics of any degree fused with the dense layer after them, a few degrees at a time.

    out = Σ_l  Y_l · K_l          Y_l (N, 2l+1) harmonics of degree l,  K_l (2l+1, H) kernel rows

The L² features of a point never exist at once. The backward pass runs the recurrence again and
emits the kernel's gradient degree by degree.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.encoders.harmonics import recurrence
from earth_embed.encoders.sine import multiples

_SEGMENT = 64
"""Degrees per segment. All rows of a segment hold the orders up to its last degree."""


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def dense(lonlat: jax.Array, kernel: jax.Array, degree: int) -> jax.Array:
    """spherical_harmonics(lonlat, degree) @ kernel (L², H), for one chunk of points (N, 2).

    The result (N, H) has reverse-mode derivatives in both arguments, and no forward-mode ones.
    """
    azimuth = _azimuth(lonlat, degree)
    source = Kernel.of(kernel, degree)

    def features(p: jax.Array) -> tuple[jax.Array, ...]:
        return tuple((p * part[: len(p)]).astype(kernel.dtype) for part in azimuth)

    def add(out: jax.Array, ells: jax.Array, parts: tuple[jax.Array, ...]) -> jax.Array:
        for part, rows in zip(parts, source.rows(ells, parts[0].shape[1]), strict=True):
            out = out + _product(_flat(rows).T, _flat(part))  # (H, N): faster on CPU
        return out

    start = jnp.zeros((kernel.shape[1], len(lonlat)), lonlat.dtype)
    return _visit(lonlat[:, 1], degree, start, features, add).T.astype(kernel.dtype)


def _forward(lonlat: jax.Array, kernel: jax.Array, degree: int) -> tuple[jax.Array, tuple]:
    return dense(lonlat, kernel, degree), (lonlat, kernel)


def _backward(degree: int, saved: tuple, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Kernel rows get Y_lᵀ g; each coordinate gets the sum of (∂Y_l) ∘ (g K_lᵀ)."""
    lonlat, kernel = saved
    azimuth = _azimuth(lonlat, degree)
    order = np.arange(degree, dtype=lonlat.dtype)[:, None]
    # ∂/∂λ takes √2 cos mλ to −m √2 sin mλ, and √2 sin mλ to m √2 cos mλ.
    turned = (-order * azimuth[1], order * azimuth[0])
    source = Kernel.of(kernel, degree)

    def features(p: jax.Array) -> tuple[jax.Array, ...]:
        return p, *((p * part[: len(p)]).astype(kernel.dtype) for part in azimuth)

    def add(state: tuple, ells: jax.Array, kept: tuple[jax.Array, ...]) -> tuple:
        gradient, lon, lat = state
        p, *parts = kept  # (G, M, N) each
        count = p.shape[1]
        slope = recurrence.slope(p, ells.astype(p.dtype)[:, None])
        products = [_product(_flat(part), cotangent) for part in parts]
        new = [product.reshape(*p.shape[:2], -1) for product in products]  # (G, M, H)
        for here, moved, rows in zip(azimuth, turned, source.rows(ells, count), strict=True):
            along = _product(_flat(rows), cotangent.T)  # the features' cotangent
            along = along.reshape(p.shape)
            lon = lon + jnp.sum(along * p * moved[None, :count], axis=(0, 1))
            lat = lat + jnp.sum(along * slope * here[None, :count], axis=(0, 1))
        return gradient.add_rows(ells, *new), lon, lat

    nothing = jnp.zeros(len(lonlat), lonlat.dtype)
    zeros = jax.tree.map(lambda x: jnp.zeros_like(x, lonlat.dtype), source)
    gradient, lon, lat = _visit(lonlat[:, 1], degree, (zeros, nothing, nothing), features, add)
    radian = jnp.asarray(np.pi / 180, lonlat.dtype)
    return radian * jnp.stack([lon, lat], axis=1), gradient.joined(degree).astype(kernel.dtype)


dense.defvjp(_forward, _backward)


def _visit(
    latitudes: jax.Array,
    degree: int,
    state: Any,
    emit: Callable[[jax.Array], Any],
    body: Callable[[Any, jax.Array, Any], Any],
) -> Any:
    """Visits the Legendre functions of l = 0 … L−1 in groups of degrees.

    Args:
        latitudes: (N,) degrees.
        degree: Number L of degrees.
        state: Initial state of the loop.
        emit: (M, N) P̄_lm of one degree → what the body needs of it.
        body: (state, (G,) degrees int32, emitted values, stacked) → state.
    """
    at = recurrence.latitude(latitudes)
    seeds = recurrence.start(at.sin_psi, degree)
    table = recurrence.rows(degree, latitudes.dtype.name)
    carry = recurrence.Carry(*(seed[:0] for seed in seeds))
    for low in range(0, degree, _SEGMENT):
        high = min(low + _SEGMENT, degree)
        # Orders low … high − 1 join with their seeds.
        joining = (seed[low:high] for seed in seeds)
        carry = recurrence.Carry(*map(jnp.concatenate, zip(carry, joining, strict=True)))
        groups = slice(low // recurrence.GROUP, -(-high // recurrence.GROUP))
        part = recurrence.Rows(*(x[groups, :, :high] for x in table))

        def group(loop: tuple, rows: recurrence.Rows) -> tuple[Any, None]:
            carry, state, ells = loop
            carry, kept = recurrence.advance(carry, rows, at, emit)
            return (carry, body(state, ells, kept), ells + recurrence.GROUP), None

        ells = jnp.arange(low, low + recurrence.GROUP, dtype=jnp.int32)
        (carry, state, _), _ = jax.lax.scan(group, (carry, state, ells), part)
    return state


def _azimuth(lonlat: jax.Array, degree: int) -> tuple[jax.Array, jax.Array]:
    """√2 cos mλ (1 for m = 0) and √2 sin mλ, (L, N) each."""
    norm = jnp.sqrt(jnp.where(jnp.arange(degree) > 0, 2, 1).astype(lonlat.dtype))[None]
    cosine, sine = multiples(lonlat[:, 0], degree)
    return (norm * cosine).T, (norm * sine).T


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """A @ b with float32 accumulation; bfloat16 would lose hundreds of partial sums."""
    kind = jnp.float64 if a.dtype == jnp.float64 else jnp.float32
    return jnp.matmul(a, b, preferred_element_type=kind)


def _flat(values: jax.Array) -> jax.Array:
    """(G, M, X) as (G·M, X)."""
    return values.reshape(-1, values.shape[-1])


class Kernel(NamedTuple):
    """A kernel, or its gradient, from which the rows of a degree are sliced at a fixed width.

    A slice is as wide as the segment's rows, so it overlaps neighbouring degrees, where the
    Legendre functions are zero. The first degrees have no neighbours below: they are read from a
    copy that is preceded by rows of zeros.
    """

    head: jax.Array
    """(M + M², H): M rows of zeros, then the first segment's M² rows."""
    whole: jax.Array
    """(L², H); for a gradient, without the first segment's part."""

    @classmethod
    def of(cls, kernel: jax.Array, degree: int) -> Kernel:
        """Prepares an (L², H) kernel."""
        first = min(_SEGMENT, degree)
        return cls(jnp.pad(kernel[: first**2], ((first, 0), (0, 0))), kernel)

    def rows(self, ells: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        """The rows of degrees (G,) for m = 0 … M−1 and for m = 0 … −(M−1): (G, M, H) each."""
        source, middle = self._find(ells, count)

        def cut(starts: jax.Array) -> jax.Array:
            return jnp.stack([jax.lax.dynamic_slice_in_dim(source, s, count) for s in starts])

        return cut(middle), jnp.flip(cut(middle - (count - 1)), axis=1)

    def add_rows(self, ells: jax.Array, positive: jax.Array, negative: jax.Array) -> Kernel:
        """Adds to the rows that `rows` returns, given in the same form."""
        count = positive.shape[1]
        source, middle = self._find(ells, count)
        for starts, new in ((middle, positive), (middle - (count - 1), jnp.flip(negative, axis=1))):
            for start, part in zip(starts, new, strict=True):
                old = jax.lax.dynamic_slice_in_dim(source, start, count)
                source = jax.lax.dynamic_update_slice_in_dim(source, old + part, start, 0)
        return self._replace(head=source) if self._in_head(count) else self._replace(whole=source)

    def joined(self, degree: int) -> jax.Array:
        """The (L², H) gradient."""
        first = min(_SEGMENT, degree)
        return self.whole.at[: first**2].add(self.head[first:])

    def _in_head(self, count: int) -> bool:
        return count <= _SEGMENT

    def _find(self, ells: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        middle = ells * ells + ells
        return (self.head, middle + count) if self._in_head(count) else (self.whole, middle)
