"""Windows over a sequence, so that a convolution is one matrix product.

Why not `nn.Conv`: inside `lax.cond` and `lax.switch`, where SALT's towers live, XLA compiles the
kernel gradient of a convolution for the CPU to a plain loop, measured 63 times slower than outside
(`experiments/benchmarks/conv_in_cond.py`). Matrix products are as fast in both places.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp


def windows(x: jax.Array, size: int, edge: Literal["zero", "wrap"]) -> jax.Array:
    """Each step of a sequence beside its neighbours.

    Args:
        x: (B, T, C).
        size: Odd number of steps in a window.
        edge: What lies beyond the ends: zeros, or the other end.

    Returns:
        (B, T, size · C): at step t the steps t − (size−1)/2 … t + (size−1)/2.
    """
    half, steps = size // 2, x.shape[1]
    mode = "constant" if edge == "zero" else "wrap"
    padded = jnp.pad(x, ((0, 0), (half, half), (0, 0)), mode=mode)
    return jnp.concatenate([padded[:, i : i + steps] for i in range(size)], axis=-1)
