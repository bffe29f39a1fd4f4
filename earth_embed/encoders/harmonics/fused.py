"""Harmonics and the dense layer after them in one: which form, and how many points at once."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from earth_embed.encoders.harmonics import products, streamed
from earth_embed.encoders.harmonics.basis import check_degree
from earth_embed.encoders.microbatch import map_parts
from earth_embed.encoders.sine import SINE_FLOPS
from earth_embed.errors import ConfigError

_AT_ONCE = 2**28
"""Bytes of features that may exist at once. A training batch of 2,048 at L = 40 is 2²⁴."""
_STREAMED_POINTS = 1024
"""Points of one chunk of the recurrence: its rows then stay in the processor's caches."""


def harmonics_dense(lonlat: jax.Array, kernel: jax.Array, degree: int) -> jax.Array:
    """spherical_harmonics(lonlat, degree) @ kernel, without all L² features of all points at once.

    Points are taken in chunks whose features are dropped, and computed again for the gradient.

    Args:
        lonlat: (N, 2) degrees, float32.
        kernel: (L², H), rows in the order l² + l + m.
        degree: Number L of degrees, up to 1024.

    Returns:
        (N, H). Above L = 128 it has no forward-mode derivative.

    Raises:
        ConfigError: a degree outside 1 … 1024, or a kernel of another number of rows.
    """
    check_degree(degree)
    if kernel.shape[0] != degree**2:
        raise ConfigError(f"kernel of {len(kernel)} rows: expected {degree**2} for L = {degree}")
    count = len(lonlat)
    if degree > products.UP_TO:
        chunk = _STREAMED_POINTS
        form = functools.partial(streamed.dense, kernel=kernel, degree=degree)
    else:
        chunk = max(_AT_ONCE // (4 * degree**2), 1)
        rows = products.in_feature_order(kernel, degree)
        form = functools.partial(products.dense, kernel=rows, degree=degree)
    if count <= chunk:
        return form(lonlat)
    chunks = -(-count // chunk)
    padded = jnp.pad(lonlat, ((0, -count % chunks), (0, 0)))
    return map_parts(form, padded, chunks)[:count]


def harmonics_flops(degree: int) -> int:
    """Floating-point operations of one point's harmonics, the dense layer after them apart."""
    angles = 4 * degree * SINE_FLOPS
    features = degree**2
    if degree > products.UP_TO:  # 9 for each Legendre value, scale and sign included
        return angles + features + 9 * degree * (degree + 1) // 2
    return angles + features + 2 * degree**2 * (degree + 1)
