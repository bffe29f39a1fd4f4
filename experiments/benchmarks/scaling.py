"""FLOPs and bytes of a training step on up to 256 devices, calculated and not measured.

    python experiments/benchmarks/scaling.py   # half a minute; nothing is trained

FLOPs are counted in the traced step. The bytes are those of the collectives that
tests/step/test_mesh.py finds in the compiled step. The times are lower bounds, from the published
figures of a TPU v5e chip.
"""

import argparse
from functools import partial

import jax
import numpy as np

jax.config.update("jax_num_cpu_devices", 256)

from earth_embed.config import (  # noqa: E402
    Experiment,
    LocationConfig,
    Melt,
    Memory,
    Modality,
    Siren,
    SphericalHarmonics,
)
from earth_embed.methods import build_method  # noqa: E402
from earth_embed.step.mesh import build_mesh  # noqa: E402
from earth_embed.step.state import Updater  # noqa: E402
from earth_embed.step.towers import Towers  # noqa: E402
from earth_embed.training.accounting import PEAKS, product_flops  # noqa: E402

WIDTHS = {"image": 768, "text": 512, "series": 384}
"""Dimensions of three modalities' frozen features."""
FEATURES = 256
LINK = 200e9
"""Bytes per second that a v5e chip sends: 1,600 Gbit/s between chips, as published."""
SIZES = ((1, 2048), (8, 16_384), (64, 131_072), (256, 262_144), (256, 1_048_576))


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only the small sizes")
    sizes = SIZES[:2] if parser.parse_args().quick else SIZES
    print(f"MELT, L = 40, {len(WIDTHS)} modalities of features, D = {FEATURES}, tiles of 1,024.\n")
    print(
        "| chips | batch | GFLOP a chip | of it the loss | MB a chip: embeddings | gradients | "
        "products at peak, ms | links, ms |"
    )
    print("|---" * 8 + "|")
    for chips, batch in sizes:
        print(row(chips, batch), flush=True)


def row(chips, batch):
    """One line of the table."""
    experiment = Experiment(
        "scaling",
        tuple(Modality(name, "memory", "sample", depth=1) for name in WIDTHS),
        Melt(quotas=quotas(batch, chips)),
        LocationConfig(SphericalHarmonics(40), Siren(), features=FEATURES),
        memory=Memory(tile=1024),
        batch_size=batch,
    )
    mesh = build_mesh(devices=jax.devices()[:chips])
    towers = Towers(experiment)
    method = build_method(towers, dict.fromkeys(WIDTHS, batch), mesh)
    samples = {n: jax.ShapeDtypeStruct((1, w), np.float32) for n, w in WIDTHS.items()}
    update = Updater(towers)
    state = jax.eval_shape(partial(update.init, samples))
    examples = {
        name: {
            "sample": jax.ShapeDtypeStruct((size, WIDTHS[name]), np.float32),
            "lonlat": jax.ShapeDtypeStruct((size, 2), np.float32),
        }
        for name, size in method.sizes.items()
    }
    examples["_active"] = jax.ShapeDtypeStruct((), np.int32)
    step = jax.make_jaxpr(partial(method.step, update=update))(state, examples)
    flops = product_flops(step) / chips
    # Tiles compute each similarity twice: 2 + 2 FLOPs for the values, 4 for the two gradients.
    loss = 8 * batch**2 * FEATURES / chips
    embeddings, gradients = bytes_sent(chips, batch, parameters(state))
    return (
        f"| {chips} | {batch:,} | {flops / 1e9:,.0f} | {loss / flops:.0%} "
        f"| {embeddings / 1e6:,.0f} | {gradients / 1e6:,.1f} "
        f"| {1e3 * flops / PEAKS['TPU v5 lite']:,.1f} "
        f"| {1e3 * (embeddings + gradients) / LINK:,.1f} |"
    )


def bytes_sent(chips, batch, weights):
    """Bytes that a chip sends per step: embeddings with their gradients, and weight gradients.

    In a ring, an all-gather of n parts costs each chip (n − 1)/n of the whole, and a reduce-scatter
    of the gradients as much. An all-reduce of the weights' gradients is both.
    """
    share = (chips - 1) / chips
    return 2 * share * 4 * batch * FEATURES, 2 * share * 4 * weights


def parameters(state):
    """Number of trained parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))


def quotas(batch, chips):
    """Nearly equal shares, divisible by the number of chips."""
    share = batch // len(WIDTHS) // chips * chips
    return (batch - share * (len(WIDTHS) - 1), *[share] * (len(WIDTHS) - 1))


if __name__ == "__main__":
    main()
