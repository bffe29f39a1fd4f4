"""Harmonics up to L = 128 by matrix products, and fused with the dense layer after them.

P̄_lm(sin φ) is a trigonometric polynomial of the latitude φ,

    P̄_lm = Σ_k C_klm cos kφ   (l − m even),     Σ_k C_klm sin kφ   (l − m odd),     k = 0 … L−1

so one small matrix product gives all of them, without a recurrence over l. It adds 2L³
floating-point operations per point to the dense layer, 8 % at L = 40 with 512 outputs. CPUs, GPUs
and TPUs run matrix products near their peak performance, and short sequential loops far from it.

Orders m and L − m share one row of L columns, l = m … L−1 and then l = L−m … L−1, so that no
column is empty. A row is multiplied by cos mλ or by cos (L−m)λ, depending on the column.

             column  0 … L−m−1          L−m … L−1
    row m            (l = m + column, m)   (l = column, L − m)         0 < m < L/2
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.encoders.sine import multiples

UP_TO = 128
"""Largest L for this form, whose table size and cost per point grow as L³."""

_HIGHEST = jax.lax.Precision.HIGHEST


class Layout(NamedTuple):
    """Which harmonic each column holds."""

    l_index: np.ndarray
    """(K,) the degree l of each column of P̄: the paired rows, then m = 0, then m = L/2."""
    m_index: np.ndarray
    """(K,) its order m."""
    pairs: int
    """Number of paired rows, which take the first pairs · L columns."""


def layout(degree: int) -> Layout:
    """The columns of P̄ for `degree` degrees."""
    row = np.arange(1, (degree + 1) // 2)[:, None]
    column = np.arange(degree)[None, :]
    own = column < degree - row
    l_index = [np.where(own, row + column, column).ravel(), np.arange(degree)]
    m_index = [np.where(own, row, degree - row).ravel(), np.zeros(degree, np.int64)]
    if degree % 2 == 0:
        l_index.append(np.arange(degree // 2, degree))
        m_index.append(np.full(degree // 2, degree // 2))
    return Layout(np.concatenate(l_index), np.concatenate(m_index), len(row))


@functools.lru_cache(maxsize=4)
def trigonometric_coefficients(degree: int) -> np.ndarray:
    """C as (2L, K): coefficients of cos kφ, then of sin kφ, for each column, √2 included.

    Computed by the recurrence in float64 at 2L equidistant angles of a full meridian circle, then a
    discrete Fourier transform, which is exact for polynomials of degree below L.
    """
    count = 2 * degree
    angles = 2 * np.pi * np.arange(count) / count
    l_index, m_index, _ = layout(degree)
    values = _legendre_on_circle(angles, degree)[l_index, m_index]  # (K, 2L)
    spectrum = np.fft.rfft(values, axis=1)[:, :degree] / degree
    spectrum[:, 0] /= 2
    even = ((l_index - m_index) % 2 == 0)[:, None]
    spectrum *= np.where(m_index > 0, np.sqrt(2), 1)[:, None]
    cosine, sine = np.where(even, spectrum.real, 0), np.where(even, 0, -spectrum.imag)
    return np.concatenate([cosine, sine], axis=1).T


def _legendre_on_circle(angles: np.ndarray, degree: int) -> np.ndarray:
    """P̄_lm at all latitudes of a circle, cos φ with its sign: (L, L, N) float64."""
    table = np.zeros((degree, degree, angles.size))
    table[0, 0] = np.sqrt(1 / (4 * np.pi))
    for order in range(1, degree):
        factor = np.sqrt((2 * order + 1) / (2 * order))
        table[order, order] = factor * np.cos(angles) * table[order - 1, order - 1]
    m = np.arange(degree)[:, None]
    for ell in range(1, degree):
        below = m[:ell]
        a = np.sqrt((4 * ell**2 - 1) / (ell**2 - below**2))
        b = np.sqrt(((ell - 1) ** 2 - below**2) / np.maximum(4 * (ell - 1) ** 2 - 1, 1))
        earlier = table[ell - 2, :ell] if ell > 1 else np.zeros_like(table[0, :ell])
        table[ell, :ell] = a * (np.sin(angles) * table[ell - 1, :ell] - b * earlier)
    return table


def dense(lonlat: jax.Array, kernel: jax.Array, degree: int) -> jax.Array:
    """spherical_harmonics(lonlat, degree) @ kernel, (N, H) for one chunk of points (N, 2), degrees.

    `kernel` (L², H) is from `in_feature_order`.
    """
    parts = features(lonlat, degree)
    kernels = jnp.split(kernel, np.cumsum([part.shape[1] for part in parts])[:-1])
    # One product per part: concatenating the features would cost more than adding the products.
    products = [part.astype(kernel.dtype) @ k for part, k in zip(parts, kernels, strict=True)]
    return functools.reduce(jnp.add, products)


def features(lonlat: jax.Array, degree: int) -> list[jax.Array]:
    """The harmonics in three parts: paired rows times cosines, paired rows times sines, the rest.

    Arguments and accuracy as in `spherical_harmonics`.

    Returns:
        Arrays (N, …) with L² columns in all; column i is the harmonic `kernel_rows`[i].
    """
    count, pairs = len(lonlat), layout(degree).pairs
    split = pairs * degree
    polar = jnp.concatenate(multiples(lonlat[:, 1], degree), axis=1)  # (N, 2L)
    table = jnp.asarray(trigonometric_coefficients(degree), lonlat.dtype)
    values = jnp.matmul(polar, table, precision=_HIGHEST)  # (N, K): √2 P̄_lm, P̄_l0
    paired, zonal, half = jnp.split(values, [split, split + degree], axis=1)
    paired = paired.reshape(count, pairs, degree)
    own = np.arange(degree) < degree - np.arange(1, pairs + 1)[:, None]  # (pairs, L)

    parts, rest = [], [zonal]
    for azimuth in multiples(lonlat[:, 0], degree):  # cos mλ, then sin mλ: (N, L)
        # Without the barrier, XLA would recompute the sines for every column.
        azimuth = jax.lax.optimization_barrier(azimuth)
        first = azimuth[:, 1 : pairs + 1, None]  # order m of each row, (N, pairs, 1)
        second = jnp.flip(azimuth[:, degree - pairs :, None], axis=1)  # order L − m
        parts.append((paired * jnp.where(own[None], first, second)).reshape(count, split))
        rest.append(half * azimuth[:, degree // 2, None])
    return [*parts, jnp.concatenate(rest, axis=1)]


def in_feature_order(kernel: jax.Array, degree: int) -> jax.Array:
    """Reorders an (L², H) kernel's rows from l² + l + m to the order that `dense` takes."""
    return kernel.at[kernel_rows(degree)].get(unique_indices=True)


@functools.lru_cache(maxsize=4)
def kernel_rows(degree: int) -> np.ndarray:
    """The index l² + l + m of each column of `features`, (L²,): a permutation."""
    l_index, m_index, pairs = layout(degree)
    middle = l_index**2 + l_index
    paired, zonal, half = np.split(np.arange(len(l_index)), [pairs * degree, (pairs + 1) * degree])
    signed = [middle + sign * m_index for sign in (1, -1)]
    rows = [signed[0][paired], signed[1][paired], middle[zonal], signed[0][half], signed[1][half]]
    return np.concatenate(rows)
