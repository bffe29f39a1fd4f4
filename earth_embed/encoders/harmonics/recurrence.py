"""The fully normalised Legendre recurrence in a form that float32 carries to degree 1023.

Two things break the textbook recurrence in float32, and each has its own cure here.

Near a pole sin φ rounds to 1, and P̄_l = a(sin φ · P̄_l−1 − b · P̄_l−2) subtracts nearly equal
numbers: error 5e-5 at L = 40 and 5e-4 at L = 100. Reinsch's form carries the difference from what
the pole would give, in which the small number y = 1 − |sin φ| = 2 sin²(ψ/2) (ψ the angle from the
nearer pole) appears by itself, to full relative precision:

    D_lm = s_lm D_l−1,m − a_lm y P̄_l−1,m             a_lm = √((4l²−1)/(l²−m²))
    P̄_lm = r_lm P̄_l−1,m + D_lm                       r_lm = √((2l+1)(l+m)/((2l−1)(l−m)))
                                                       s_lm = a_lm/(a_l−1,m r_l−1,m)

with r_lm the ratio P̄_lm/P̄_l−1,m at the pole. Its error is 3e-6 at L = 40 and 1e-4 at L = 1024.

The seed P̄_mm ∝ sinᵐ ψ leaves float32 (10⁻³⁸) from m ≈ 250 on, while P̄_lm comes back to order 1 at
larger l. Each order therefore carries a power of two of its own for each point, brought back to
1 = 2⁰ as the values grow (Fukushima 2012, J. Geodesy 86, 271–285: extended exponents).

References:
    Reinsch's modification: Gentleman 1969, Comput. J. 12; Deuflhard 1976, Numer. Math. 27.
    a_lm: Holmes & Featherstone 2002, J. Geodesy 76, eq. 11–13.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

GROUP = 8
"""Degrees between two rescalings; a value of 1 grows to at most 10¹¹ meanwhile."""

_RESCALE = 60
"""Powers of two taken at once out of a value that has grown beyond 1."""

_LOWEST = -126
"""Below this power of two a value is zero, in float32 and to any purpose."""


class Rows(NamedTuple):
    """Coefficients of one or more degrees, (…, M) each; the last axis is the order m."""

    a: np.ndarray
    r: np.ndarray
    s: np.ndarray
    exists: np.ndarray
    """1 where m ≤ l < L, else 0. Where it is not, P̄ still holds its seed P̄_mm."""


class Latitude(NamedTuple):
    """What the recurrence needs of a latitude φ."""

    sin_psi: jax.Array
    """(N,) sin ψ = cos φ."""
    y: jax.Array
    """(1, N) 1 − |sin φ|."""
    sign: jax.Array
    """(1, N) −1 south of the equator, where P̄_lm(−x) = (−1)^(l+m) P̄_lm(x), else 1."""


class Carry(NamedTuple):
    """P̄ and D of one degree, to be multiplied by 2^exponent; (M, N) each."""

    p: jax.Array
    d: jax.Array
    exponent: jax.Array


@functools.lru_cache(maxsize=8)
def rows(degree: int, dtype: jax.typing.DTypeLike) -> Rows:
    """The coefficients, (groups, GROUP, L): degrees 0 … L − 1 and padding to whole groups."""
    ell = np.arange(-(-degree // GROUP) * GROUP, dtype=np.float64)[:, None]
    m = np.arange(degree, dtype=np.float64)[None, :]
    below = m < ell
    gap = np.where(below, ell - m, 1)
    a = np.sqrt(np.where(below, (4 * ell**2 - 1) / (gap * (ell + m + ~below)), 0))
    r = np.sqrt(np.where(below, (2 * ell + 1) * (ell + m) / (np.abs(2 * ell - 1) * gap), 1))
    previous = np.roll(a * r, 1, axis=0)
    s = np.where(m < ell - 1, a / np.where(m < ell - 1, previous, 1), 0)
    exists = (m <= ell) & (ell < degree)
    grouped = [np.reshape(x, (-1, GROUP, degree)).astype(dtype) for x in (a, r, s, exists)]
    return Rows(*grouped)


def latitude(degrees: jax.Array) -> Latitude:
    """Prepares latitudes (N,); relative precision is kept up to the poles."""
    psi = (90 - jnp.abs(degrees)) * np.asarray(np.pi / 180, degrees.dtype)
    half = jnp.sin(psi / 2)
    sign = jnp.where(degrees < 0, -1, 1).astype(degrees.dtype)
    return Latitude(jnp.sin(psi), (2 * half * half)[None], sign[None])


def start(sin_psi: jax.Array, degree: int) -> Carry:
    """Every order's seed P̄_mm = √((2m+1)/2m) sin ψ · P̄_m−1,m−1, (L, N)."""
    m = np.arange(1, degree)
    factors = jnp.asarray(np.sqrt((2 * m + 1) / (2 * m)), sin_psi.dtype)
    first = jnp.full_like(sin_psi, np.sqrt(1 / (4 * np.pi)))
    zero = jnp.zeros(sin_psi.shape, jnp.int32)

    def next_order(carry: tuple, factor: jax.Array) -> tuple[Any, Any]:
        mantissa, exponent = jnp.frexp(carry[0] * (factor * sin_psi))
        both = mantissa, carry[1] + exponent
        return both, both

    _, (mantissas, exponents) = jax.lax.scan(next_order, (first, zero), factors)
    p = jnp.concatenate([first[None], mantissas])
    return Carry(p, jnp.zeros_like(p), jnp.concatenate([zero[None], exponents]))


def advance(
    carry: Carry, rows: Rows, at: Latitude, emit: Callable[[jax.Array], Any]
) -> tuple[Carry, Any]:
    """The next GROUP degrees.

    Args:
        carry: The degree before, (M, N); for the first degree `start`.
        rows: Coefficients, (GROUP, M).
        at: The points' latitudes.
        emit: What to keep of a degree's P̄_lm(sin φ), (M, N), which are zero where m > l.

    Returns:
        The carry after them, and what was kept, stacked: (GROUP, …).
    """
    carry, scale = _rescale(carry, at.sign)

    def step(loop: tuple, now: tuple) -> tuple[Any, Any]:
        p, d = loop
        row, parity = now
        d = row.s[:, None] * d - (row.a[:, None] * at.y) * p
        p = row.r[:, None] * p + d
        sign = jnp.where(parity == 1, at.sign, jnp.ones_like(at.sign))  # of (−1)^l
        return (p, d), emit(p * scale * (row.exists[:, None] * sign))

    parities = jnp.arange(GROUP, dtype=jnp.int32) % 2  # a group starts at an even degree
    (p, d), kept = jax.lax.scan(step, (carry.p, carry.d), (rows, parities))
    return Carry(p, d, carry.exponent), kept


def slope(p: jax.Array, ell: jax.Array) -> jax.Array:
    """dP̄_lm/dφ per radian, exact everywhere: a sum of functions of the same degree.

        dP̄_lm/dφ = ½ (√((l−m)(l+m+1)) P̄_l,m+1 − √((l+m)(l−m+1)) P̄_l,m−1),     P̄_l,−1 = −P̄_l1

    Args:
        p: (…, M, N) P̄_lm, all orders m ≤ l among the M.
        ell: (…, 1) the degree l, in the dtype of `p`.
    """
    m = np.arange(p.shape[-2], dtype=p.dtype).reshape((1,) * (ell.ndim - 1) + (-1,))
    nothing = jnp.zeros_like(p[..., :1, :])
    above = jnp.concatenate([p[..., 1:, :], nothing], axis=-2)
    below = jnp.concatenate([-above[..., :1, :], p[..., :-1, :]], axis=-2)
    up = jnp.sqrt(jnp.maximum((ell - m) * (ell + m + 1), 0))[..., None]  # (…, M, 1)
    down = jnp.sqrt(jnp.maximum((ell + m) * (ell - m + 1), 0))[..., None]
    return (up * above - down * below) / 2


def _rescale(carry: Carry, sign: jax.Array) -> tuple[Carry, jax.Array]:
    """Moves powers of two from grown values to their exponents; 2^exponent · sign^m, (M, N)."""
    p, d, exponent = carry
    taken = jnp.where(jnp.abs(p) > 1, jnp.clip(-exponent, 0, _RESCALE), 0)
    one = jnp.ones((), p.dtype)
    down = jnp.ldexp(one, -taken)
    exponent = exponent + taken
    scale = jnp.where(exponent < _LOWEST, 0, jnp.ldexp(one, jnp.maximum(exponent, _LOWEST)))
    odd = (np.arange(len(p)) % 2 == 1)[:, None]
    return Carry(p * down, d * down, exponent), jnp.where(odd, sign * scale, scale)
