"""Random streams: every key is folded from (seed, name[, step]); none is carried or saved."""

from __future__ import annotations

import zlib

import jax


def named_key(seed: int, name: str) -> jax.Array:
    """The key of one named stream."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def step_key(seed: int, name: str, step: jax.Array) -> jax.Array:
    """The key of one named stream at one step."""
    return jax.random.fold_in(named_key(seed, name), step)
