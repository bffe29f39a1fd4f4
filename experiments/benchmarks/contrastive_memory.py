"""Memory and time of the contrastive losses and their gradients: whole matrix against tiles.

    python experiments/benchmarks/contrastive_memory.py            # about ten minutes on two cores
    python experiments/benchmarks/contrastive_memory.py --quick    # half a minute

Each row runs in its own process; the peak is that process's maximum resident memory. Tiles take
four matrix products (one for the values, three for the gradient), the whole matrix three, of 2·B²·D
FLOPs each. "Of peak" compares their rate with that of one large product, timed right afterwards.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp

from earth_embed.config import GeodesicNtXent, Memory, NtXent, Sigmoid
from earth_embed.losses.build import TILE, build_loss
from earth_embed.losses.pairs import Pairs, product

LOSSES = {
    "NT-Xent": (NtXent(), "sample_to_location"),
    "NT-Xent, symmetric": (NtXent(), "symmetric"),
    "sigmoid": (Sigmoid(), "sample_to_location"),
    "soft targets": (GeodesicNtXent(), "sample_to_location"),
    "semivariogram": (GeodesicNtXent(weighting="semivariogram"), "sample_to_location"),
}


def seconds(function, *arguments, repeats):
    """The fastest of a few calls; the first only counts if it is the only one."""
    times = []
    for _ in range(repeats + (repeats > 1)):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return min(times[repeats > 1 :])


def measure(name, tile, batch, dim, repeats):
    """Compiles and runs a loss and its gradient; prints bytes and seconds as JSON."""
    loss, direction = LOSSES[name]
    compare = build_loss(loss, direction, Memory(tile=tile))

    def mean(anchors, candidates, scale, lonlat):
        return compare(
            Pairs(anchors, candidates, scale, jnp.float32(-10), None, lonlat)
        ).loss.mean()

    keys = jax.random.split(jax.random.key(0), 3)
    draw = jax.jit(jax.random.normal, static_argnums=1)
    arguments = (
        draw(keys[0], (batch, dim)),
        draw(keys[1], (batch, dim)),
        jnp.float32(14),
        30 * draw(keys[2], (batch, 2)),
    )
    compiled = jax.jit(jax.value_and_grad(mean, argnums=(0, 1, 2))).lower(*arguments).compile()
    memory = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    taken = seconds(compiled, *arguments, repeats=repeats)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rate = matmul_rate(min(batch, 8192), dim)
    print(json.dumps({"compiled": needed, "peak": peak, "seconds": taken, "rate": rate}))


def in_a_process(*arguments):
    """Runs `measure` in a fresh process."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def matmul_rate(size, dim):
    """FLOP/s of one large matrix product."""
    a = jnp.ones((size, dim))
    taken = seconds(jax.jit(lambda a: product(a, a.T)), a, repeats=3)
    return 2 * size**2 * dim / taken


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two losses, small batches")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, *numbers = options.measure
        measure(name, *map(int, numbers))
        return
    both, largest, tile = (1024, 4096, 256) if options.quick else (16_384, 131_072, TILE)
    dim = 256
    print(
        f"jax {jax.__version__}, {jax.devices()[0].device_kind}, D = {dim}, loss and gradient\n\n"
        "| loss | batch | form | compiled, MB | peak resident, MB | seconds | tiles/matrix "
        "| of peak |\n|---|---|---|---|---|---|---|---|"
    )
    for name in list(LOSSES)[:2] if options.quick else LOSSES:
        rows = [("matrix", both, both, 6), ("tiles", both, tile, 8)]
        if name == "NT-Xent":
            rows.append(("tiles", largest, tile, 8))
        for form, batch, size, operations in rows:
            found = in_a_process(name, size, batch, dim, 2 if batch == both else 1)
            passes = 2 if name.endswith("symmetric") else 1
            rate = passes * operations * batch**2 * dim / found["seconds"]
            if form == "matrix":
                matrix = found["seconds"]
            ratio = f"{found['seconds'] / matrix:.2f}" if batch == both else ""
            print(
                f"| {name} | {batch:,} | {form} | {found['compiled'] / 1e6:,.0f} "
                f"| {found['peak'] / 1e6:,.0f} | {found['seconds']:.2f} | {ratio} "
                f"| {rate / found['rate']:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
