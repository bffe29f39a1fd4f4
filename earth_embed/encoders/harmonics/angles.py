"""Sines and cosines of the multiples of an angle in degrees, to the last digits of float32."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.encoders.sine import eighth_turn


def multiples(degrees: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """cos(kα) and sin(kα) for k = 0 … count − 1, within 1e-7 in float32.

    kα in radians would be wrong by k times the rounding error of α: 2e-4 rad at k = 1023. In
    degrees the product has a part that float32 holds exactly, from which quarter turns are taken
    without any error,

        α = h + r,   h a multiple of 1/64 (14 bits),   |r| ≤ 1/128:   k·h is exact for k ≤ 1024

    and a remainder of at most 8°.

    Args:
        degrees: (N,), between −256 and 256.
        count: Number of multiples, at most 1025.

    Returns:
        Two arrays (N, count).
    """
    k = np.arange(count, dtype=degrees.dtype)[None, :]
    coarse = jnp.round(degrees * 64) / 64
    exact = k * coarse[:, None]
    first = jnp.round(exact / 90)
    rest = (exact - 90 * first) + k * (degrees - coarse)[:, None]
    second = jnp.round(rest / 90)
    angle = (rest - 90 * second) * np.asarray(np.pi / 180, degrees.dtype)  # |angle| ≤ π/4
    cosine, sine = eighth_turn(angle)
    quarters = first + second
    quarters = quarters - 4 * jnp.floor(quarters / 4)  # 0 … 3; `%` is a slow library call on CPU
    swapped = (quarters == 1) | (quarters == 3)
    cosine, sine = jnp.where(swapped, sine, cosine), jnp.where(swapped, cosine, sine)
    cosine = jnp.where((quarters == 1) | (quarters == 2), -cosine, cosine)
    return cosine, jnp.where(quarters >= 2, -sine, sine)
