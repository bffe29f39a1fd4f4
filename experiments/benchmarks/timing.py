"""Timing in turns, so that a slow spell of the machine affects all sides alike."""

import time

import jax
import jax.numpy as jnp


def in_turns(sides, rounds=5, steps=1, warm=3):
    """Times several functions in turns; the order is reversed every other round.

    Args:
        sides: Functions without arguments, by name.
        rounds: Turns per function.
        steps: Calls per turn, timed together.
        warm: Calls before the first turn: XLA compiles in the first, TorchScript in the first two.

    Returns:
        For each name, seconds per call in each of the `rounds`.
    """
    times = {name: [] for name in sides}
    for side in sides.values():
        for _ in range(warm):
            jax.block_until_ready(side())
    for i in range(rounds):
        for name in list(sides)[:: -1 if i % 2 else 1]:
            # An untimed call first, to refill the caches that the others have evicted.
            jax.block_until_ready(sides[name]())
            start = time.perf_counter()
            for _ in range(steps):
                result = sides[name]()
            jax.block_until_ready(result)
            times[name].append((time.perf_counter() - start) / steps)
    return times


def matmul_rate():
    """FLOP/s of a large float32 matrix product."""
    a, b = jnp.ones((2048, 1600)), jnp.ones((1600, 512))
    product = jax.jit(jnp.matmul)
    times = in_turns({"product": lambda: product(a, b)}, rounds=20)
    return 2 * 2048 * 1600 * 512 / min(times["product"])
