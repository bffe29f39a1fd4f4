"""Real spherical harmonics by the fully normalised recurrence: no table of formulas, any degree."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def spherical_harmonics(lonlat: jax.Array, degree: int) -> jax.Array:
    """Orthonormal real spherical harmonics Y_lm for l = 0 … degree − 1 and m = −l … l.

    With φ the latitude, λ the longitude and P̄ the fully normalised Legendre functions without the
    Condon–Shortley phase,

        Y_l0  =      P̄_l0(sin φ)
        Y_lm  = √2 · P̄_lm(sin φ) · cos(mλ)         m > 0
        Y_l−m = √2 · P̄_lm(sin φ) · sin(mλ)         m > 0

        P̄_00 = 1/√4π
        P̄_ll = √((2l+1)/2l) · cos φ · P̄_l−1,l−1
        P̄_lm = a_lm (sin φ · P̄_l−1,m − b_lm · P̄_l−2,m)      m < l
        a_lm = √((4l²−1)/(l²−m²)),   b_lm = √(((l−1)²−m²)/(4(l−1)²−1))

    so that ∫ Y_lm Y_l'm' dΩ = δ_ll' δ_mm'. The recurrence runs on sin φ and cos φ both: with
    cos φ = √(1 − sin² φ) its gradient would be infinite at the poles.

    Args:
        lonlat: (N, 2) degrees, float32 or float64.
        degree: Number L of degrees. In float32 the seed cosᵐ φ underflows near L = 256.

    Returns:
        (N, L²) of the dtype of `lonlat`; column l² + l + m holds Y_lm.

    References:
        Holmes & Featherstone 2002, J. Geodesy 76, eq. 11–13.
        SatCLIP (arXiv 2311.17179) for their use as a positional encoding.
    """
    lon, lat = jnp.radians(lonlat[:, 0]), jnp.radians(lonlat[:, 1])
    legendre = _legendre(jnp.sin(lat), jnp.cos(lat), degree)  # (L, L, N): l, m, point
    order = jnp.arange(1, degree, dtype=lonlat.dtype)[:, None]  # (L−1, 1): m
    angle = order * lon[None, :]  # (L−1, N)
    root2 = np.sqrt(2.0)
    azimuth = jnp.concatenate(  # (2L−1, N): m = −(L−1) … L−1
        [root2 * jnp.sin(angle)[::-1], jnp.ones_like(lon)[None, :], root2 * jnp.cos(angle)]
    )
    l_index, m_index = degree_and_order(degree)
    features = legendre[l_index, np.abs(m_index)] * azimuth[m_index + degree - 1]  # (L², N)
    return features.T


def degree_and_order(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """The degree l and order m of each of the `degree`² columns, in order."""
    column = np.arange(degree**2)
    l_index = np.floor(np.sqrt(column)).astype(np.int64)
    return l_index, column - l_index * (l_index + 1)


def _legendre(sin_lat: jax.Array, cos_lat: jax.Array, degree: int) -> jax.Array:
    """P̄_lm as (L, L, N), zero where m > l, one scan over l carrying the two previous rows."""
    a, b, diagonal = _coefficients(degree, sin_lat.dtype)

    def next_row(
        carry: tuple[jax.Array, jax.Array], row: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        previous, before = carry  # (L, N) each: P̄_l−1, P̄_l−2
        a_l, b_l, diagonal_l = row  # (L,) each
        inner = a_l[:, None] * (sin_lat[None, :] * previous - b_l[:, None] * before)
        shifted = jnp.roll(previous, 1, axis=0)  # row m holds P̄_l−1,m−1
        current = inner + diagonal_l[:, None] * cos_lat[None, :] * shifted
        return (current, previous), current

    zero = jnp.zeros((degree, sin_lat.size), sin_lat.dtype)
    first = zero.at[0].set(1 / np.sqrt(4 * np.pi))
    _, rows = jax.lax.scan(next_row, (first, zero), (a, b, diagonal))
    return jnp.concatenate([first[None], rows])


def _coefficients(
    degree: int, dtype: jax.typing.DTypeLike
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """a_lm, b_lm (zero where m ≥ l) and the diagonal factor (zero where m ≠ l), for l = 1 … L−1."""
    ell = np.arange(1, degree, dtype=np.float64)[:, None]
    m = np.arange(degree, dtype=np.float64)[None, :]
    below = m < ell
    a = np.sqrt(np.where(below, (4 * ell**2 - 1) / np.where(below, ell**2 - m**2, 1), 0))
    inner = np.where(m < ell - 1, (ell - 1) ** 2 - m**2, 0)
    b = np.sqrt(inner / np.abs(4 * (ell - 1) ** 2 - 1))
    diagonal = np.where(m == ell, np.sqrt((2 * ell + 1) / (2 * ell)), 0)
    return jnp.asarray(a, dtype), jnp.asarray(b, dtype), jnp.asarray(diagonal, dtype)
