"""Every random choice is a hash: of integers on the host, of JAX keys on the device.

No random state is kept or saved: the same (seed, name, step) gives the same numbers on every
machine.
"""

from __future__ import annotations

import functools
import zlib

import jax
import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix64(values: np.ndarray) -> np.ndarray:
    """Hashes integers to uniform uint64 (the finaliser of SplitMix64, Steele et al. 2014).

    It uses only integer arithmetic, so every machine and library version gives the same result.
    """
    z = values.astype(np.uint64) + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def hash_string(text: str) -> int:
    """Hashes a string to a 63-bit integer, the same in every process (unlike `hash`)."""
    state = np.zeros(1, np.uint64)
    for byte in text.encode():
        state = mix64(state ^ np.uint64(byte))
    return int(state[0] >> np.uint64(1))


@functools.lru_cache(maxsize=8)
def epoch_permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of `count` examples in one epoch.

    Examples are sorted by a hash of (seed, epoch, index). The permutation is uniform up to ties
    between 64-bit hashes, which the stable sort resolves.
    """
    key = mix64(mix64(np.array([seed], np.uint64)) ^ np.uint64(epoch))
    permutation = np.argsort(mix64(np.arange(count, dtype=np.uint64) ^ key), kind="stable")
    permutation.flags.writeable = False
    return permutation


def named_key(seed: int, name: str) -> jax.Array:
    """The key of a named stream."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def step_key(seed: int, name: str, step: jax.Array) -> jax.Array:
    """The key of a named stream at one step."""
    return jax.random.fold_in(named_key(seed, name), step)
