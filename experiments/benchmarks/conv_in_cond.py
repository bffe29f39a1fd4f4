"""The kernel gradient of a convolution inside `lax.cond`, compared with the same outside.

    python experiments/benchmarks/conv_in_cond.py           # and --quick, for fewer repeats

SALT runs its towers inside a conditional. On CPUs, XLA compiles a convolution's kernel gradient
there to a naive loop, while the same layer as a matrix product over windows is equally fast in both
places. That is why the towers use no convolutions.
"""

import argparse
import time

import jax
import jax.numpy as jnp

from earth_embed.encoders.modality import windows

BATCH, STEPS, CHANNELS, SIZE = 64, 96, 64, 5


def convolution(kernel, x):
    """The sum of a 1-D convolution."""
    dimensions = ("NWC", "WIO", "NWC")
    out = jax.lax.conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=dimensions)
    return jnp.sin(out).sum()


def product(kernel, x):
    """The same as a matrix product over windows."""
    return jnp.sin(windows(x, SIZE, "zero") @ kernel.reshape(-1, CHANNELS)).sum()


def switched(gradient):
    """The gradient as one branch of a conditional."""

    def idle(kernel, x):
        return kernel

    return jax.jit(lambda active, *args: jax.lax.cond(active == 0, gradient, idle, *args))


def milliseconds(function, *arguments, repeats):
    """The fastest of a few calls, after compilation."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one repeat")
    repeats = 1 if parser.parse_args().quick else 3
    keys = jax.random.split(jax.random.key(0))
    kernel = jax.random.normal(keys[0], (SIZE, CHANNELS, CHANNELS))
    x = jax.random.normal(keys[1], (BATCH, STEPS, CHANNELS))
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}\n")
    print("| layer | gradient outside, ms | inside lax.cond, ms | ratio |\n|---|---|---|---|")
    for name, layer in (("convolution", convolution), ("matrix product", product)):
        gradient = jax.grad(layer)
        outside = milliseconds(jax.jit(gradient), kernel, x, repeats=repeats)
        inside = milliseconds(switched(gradient), jnp.int32(0), kernel, x, repeats=repeats)
        print(f"| {name} | {outside:.1f} | {inside:.1f} | {inside / outside:.1f} |")


if __name__ == "__main__":
    main()
