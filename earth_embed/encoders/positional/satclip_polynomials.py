"""The rounding of SatCLIP's zonal harmonics, which its L = 40 weights were trained on.

SatCLIP evaluates Y_l0 as a polynomial of cos θ whose coefficients were printed with 15 digits. At
l = 39 they reach 10¹⁴ and cancel, so that near the poles the printed polynomial is another one:

    δ_l(x) = Σ_k (c'_lk − c_lk) xᵏ        c exact, c' printed;  |δ_39| ≤ 0.59, |δ_38| ≤ 0.012

below 4e-5 where |φ| < 45°. It is smooth, and can be added. What cannot be is the noise of such sums
in float64: up to 0.04 at the poles for l = 39, 0.015 for 38, 0.01 for 37, and 5e-6 below 45°.
"""

from __future__ import annotations

import functools
import math
from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np

_PI = Decimal("3.141592653589793238462643383279502884197")


def zonal_rounding(latitudes: jax.Array, degree: int) -> jax.Array:
    """δ_l(sin φ)/π for l = 0 … L−1: what SatCLIP's rounding adds to the orthonormal Y_l0.

    π is the factor of SatCLIP's zonal functions. Its angle makes cos θ = −sin φ, but its (−1)^l is
    δ_l's parity.

    Args:
        latitudes: (N,) degrees, float32.
        degree: Number L of degrees.

    Returns:
        (N, L) float32.
    """
    x = jnp.sin(jnp.radians(latitudes))[:, None]
    first = np.arange(degree)[None, :] == 0
    powers = jnp.cumprod(jnp.where(first, 1.0, x), axis=1)  # (N, L)
    return powers @ jnp.asarray(coefficient_errors(degree) / np.pi, jnp.float32)


@functools.cache
def coefficient_errors(degree: int) -> np.ndarray:
    """The errors c' − c as (L, L) float64: row k belongs to xᵏ, column l to δ_l.

    With P_l(x) = 2⁻ˡ Σ_j (−1)^j C(l, j) C(2l−2j, l) x^(l−2j) and N = √((2l+1)π/4), c = N · P's own
    coefficient. N and the product with it were rounded to 53 bits before printing, and the order
    in which they were decides a few last digits.
    """
    errors = np.zeros((degree, degree))
    with localcontext() as context:
        context.prec = 40
        for ell in range(degree):
            exact = ((2 * ell + 1) * _PI / 4).sqrt()
            rounded = math.sqrt((2 * ell + 1) / 4) * math.sqrt(math.pi)
            for j in range(ell // 2 + 1):
                integer = (-1) ** j * math.comb(ell, j) * math.comb(2 * ell - 2 * j, ell)
                printed = Decimal(f"{rounded * (integer / 2**ell):.15g}")
                errors[ell - 2 * j, ell] = printed - exact * integer / 2**ell
    return errors
