"""Sines and cosines of phases in turns, the last step of every random Fourier encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from earth_embed.encoders.sine import SINE_FLOPS, cosine, sine

WAVE_FLOPS = 1 + 2 * SINE_FLOPS
"""Floating-point operations of one phase's cosine and sine."""


def waves(turns: jax.Array) -> jax.Array:
    """Cos 2πp and sin 2πp of phases p.

    Args:
        turns: (N, S, F) for S scales, in turns, less than about one. (Larger phases are reduced by
            whole turns first: 2πp would lose as many digits as p has before the point.)

    Returns:
        (N, S · 2F): scale after scale, F cosines and then F sines.
    """
    angle = 2 * jnp.pi * turns
    both = jnp.concatenate([cosine(angle), sine(angle)], axis=-1)  # (N, S, 2F)
    return both.reshape(both.shape[0], -1)


def random_frequencies(sigmas: Sequence[float]) -> nn.initializers.Initializer:
    """Initialiser N(0, σ²) with one σ for each entry of the first axis."""

    def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.normal(key, shape, dtype) * jnp.asarray(sigmas, dtype)[:, None, None]

    return init
