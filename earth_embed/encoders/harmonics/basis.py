"""Real spherical harmonics as a matrix of features, and fused with the dense layer after them."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from earth_embed.encoders.harmonics import products, recurrence, streamed
from earth_embed.encoders.microbatch import map_parts
from earth_embed.encoders.sine import multiples
from earth_embed.errors import ConfigError


def spherical_harmonics(lonlat: jax.Array, degree: int) -> jax.Array:
    """Real spherical harmonics Y_lm for l = 0 … degree − 1 and m = −l … l.

    With φ the latitude, λ the longitude and P̄ the fully normalised Legendre functions without the
    Condon–Shortley phase,

        Y_l0  =      P̄_l0(sin φ)
        Y_lm  = √2 · P̄_lm(sin φ) · cos(mλ)         m > 0
        Y_l−m = √2 · P̄_lm(sin φ) · sin(mλ)         m > 0

    so that ∫ Y_lm Y_l'm' dΩ = δ_ll' δ_mm'. Derivatives are equally accurate, and finite everywhere.

    Args:
        lonlat: (N, 2) degrees, float32 or float64.
        degree: Number L of degrees. The largest float32 error is 4e-7 at L = 40 and 7e-7 at
            L = 100. The recurrence, which takes over at L = 129, has 2e-5, rising to 1e-4 at
            L = 1024.

    Returns:
        (N, L²) in the dtype of `lonlat`; column l² + l + m holds Y_lm.

    Raises:
        ConfigError: a degree outside 1 … 1024.

    References:
        SatCLIP (arXiv 2311.17179) for their use as a positional encoding.
    """
    check_degree(degree)
    if degree <= products.UP_TO:
        columns = np.argsort(products.kernel_rows(degree))
        return jnp.concatenate(products.features(lonlat, degree), axis=1)[:, columns]
    cosines, sines = multiples(lonlat[:, 0], degree)  # (N, L) each
    root2 = np.asarray(np.sqrt(2), lonlat.dtype)
    azimuth = jnp.concatenate(  # (N, 2L−1): m = −(L−1) … L−1
        [root2 * sines[:, :0:-1], cosines[:, :1], root2 * cosines[:, 1:]], axis=1
    )
    l_index, m_index = degree_and_order(degree)
    values = legendre(lonlat[:, 1], degree)[l_index, np.abs(m_index)]  # (L², N)
    return values.T * azimuth[:, m_index + degree - 1]


def check_degree(degree: int) -> None:
    """Checks that the recurrence and the multiples of the angles are accurate for this degree.

    Raises:
        ConfigError: they are not.
    """
    if not 1 <= degree <= 1024:
        raise ConfigError(f"degree = {degree}: expected 1 … 1024")


def degree_and_order(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """The degree l and order m of each of the `degree`² columns, in order."""
    column = np.arange(degree**2)
    l_index = np.floor(np.sqrt(column)).astype(np.int64)
    return l_index, column - l_index * (l_index + 1)


def satclip_factors(degree: int) -> np.ndarray:
    """SatCLIP's functions as multiples of the orthonormal ones, (L²,) float64.

    They are (−1)^l, because SatCLIP measures colatitude from the south pole and longitude from
    180°, times π where m = 0, because of a misplaced bracket in its "analytic" form. All released
    weights were trained with it (microsoft/satclip issue 33).
    """
    ell, m = degree_and_order(degree)
    return np.where(ell % 2 == 0, 1.0, -1.0) * np.where(m == 0, np.pi, 1.0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def legendre(latitudes: jax.Array, degree: int) -> jax.Array:
    """P̄_lm(sin φ) of latitudes (N,) in degrees: (L, L, N) by l, m and point; 0 where m > l."""
    at = recurrence.latitude(latitudes)

    def group(carry: recurrence.Carry, rows: recurrence.Rows) -> tuple[Any, Any]:
        return recurrence.advance(carry, rows, at, emit=lambda p: p)

    rows = recurrence.rows(degree, latitudes.dtype.name)
    _, values = jax.lax.scan(group, recurrence.start(at.sin_psi, degree), rows)
    return values.reshape(-1, *values.shape[2:])[:degree]


@legendre.defjvp
def _legendre_jvp(degree: int, primals: tuple, tangents: tuple) -> tuple:
    values = legendre(primals[0], degree)
    ell = jnp.arange(degree, dtype=values.dtype)[:, None]
    slope = recurrence.slope(values, ell)
    return values, slope * (tangents[0] * np.asarray(np.pi / 180, values.dtype))[None, None]


_AT_ONCE = 2**28
"""Most bytes of features to hold at once. A training batch of 2,048 at L = 40 takes 2²⁴."""

_STREAMED_POINTS = 1024
"""Points per chunk of the recurrence, few enough for its rows to stay in the CPU's caches."""


def harmonics_dense(lonlat: jax.Array, kernel: jax.Array, degree: int) -> jax.Array:
    """spherical_harmonics(lonlat, degree) @ kernel, without holding all features at once.

    Large batches are computed in chunks, whose features are recomputed for the gradient.

    Args:
        lonlat: (N, 2) degrees, float32.
        kernel: (L², H), rows in the order l² + l + m.
        degree: Number L of degrees, up to 1024.

    Returns:
        (N, H). Above L = 128 it has no forward-mode derivative.

    Raises:
        ConfigError: a degree outside 1 … 1024, or a kernel without L² rows.
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
