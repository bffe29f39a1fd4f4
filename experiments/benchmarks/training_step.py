"""A training step beside PyTorch's, SALT's switched step beside an unswitched one, and its parts.

    pip install -e ".[benchmark]"
    python experiments/benchmarks/training_step.py           # about three minutes on two cores
    python experiments/benchmarks/training_step.py --quick   # small, in seconds

A whole step in float32: location tower (harmonics of L = 40, SIREN 512, 512 → 256), a linear
projection per modality of frozen features, NT-Xent, AdamW. The batch is 2,048, of one modality
(pair, SALT) or three together (MELT). `peers/step.py` describes the peers.

All sides run in turns in one process, in which the peers are as fast as alone. Milliseconds are
medians over the rounds; ratios are medians of the per-round ratios. Run nothing else on the
machine: PyTorch's threads spin while they wait, so beside other work its small operations take many
times as long.
"""

import argparse
import statistics
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from earth_embed.config import (
    Experiment,
    Input,
    LocationConfig,
    Melt,
    Modality,
    Optimizer,
    Pair,
    Salt,
    Siren,
    SphericalHarmonics,
)
from earth_embed.data.pipeline import Batches
from earth_embed.data.sources import ArraySource
from earth_embed.losses.build import build_loss
from earth_embed.losses.pairs import Pairs
from earth_embed.methods import build_method
from earth_embed.step.mesh import (
    build_mesh,
    compile_step,
    init_sharded,
    over_batch,
    replicated,
    to_device,
)
from earth_embed.step.state import Updater
from earth_embed.step.towers import Towers
from earth_embed.training.feed import feed, one_sample_each
from peers.step import Step, published, tensors, vectorised
from timing import in_turns, matmul_rate

WIDTHS = {"image": 768, "text": 512, "series": 384}
"""Dimensions of each modality's frozen features."""
HIDDEN = (512, 512)
FEATURES = 256


@dataclass(frozen=True)
class Size:
    """The size of the benchmark."""

    degree: int
    batch: int
    rounds: int
    steps: int
    """Steps per turn."""


FULL, QUICK = Size(40, 2048, rounds=9, steps=3), Size(6, 96, rounds=2, steps=1)


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    size = QUICK if parser.parse_args().quick else FULL
    sources = {name: make_source(width, 4 * size.batch) for name, width in WIDTHS.items()}
    names = tuple(WIDTHS)
    pairs = {name: Ours(Pair(), (name,), size, sources) for name in names}
    melt = Ours(Melt(), names, size, sources)
    salt = Ours(Salt(), names, size, sources)

    rate = matmul_rate()
    print(
        f"jax {jax.__version__}, {jax.devices()[0].device_kind}, L = {size.degree}, "
        f"batch {size.batch:,}; matrix products in float32: {rate / 1e9:.0f} GFLOP/s\n"
    )
    beside_peers(pairs["image"], melt, salt, size)
    beside_unswitched(pairs, salt, size)
    parts(melt, rate, size)
    fed(melt, sources, size)


class Ours:
    """A method's step, compiled as in the training loop, with its state and a resident batch."""

    def __init__(self, method, names, size, sources):
        self.experiment = Experiment(
            "benchmark",
            tuple(Modality(name, "memory", "sample", depth=1) for name in names),
            method,
            LocationConfig(
                SphericalHarmonics(size.degree, "satclip"), Siren(HIDDEN), features=FEATURES
            ),
            optimizer=Optimizer(final_fraction=1.0),
            input=Input(loader="python"),
            batch_size=size.batch,
        )
        self.mesh = build_mesh()
        self.towers = Towers(self.experiment)
        counts = {name: len(sources[name]) for name in names}
        self.method = build_method(self.towers, counts, self.mesh)
        update = Updater(self.towers)
        samples = one_sample_each({name: sources[name] for name in names})
        self.state = init_sharded(partial(update.init, samples), replicated(self.mesh))
        self.compiled = compile_step(partial(self.method.step, update=update), self.mesh)
        self.examples = {
            name: sources[name].gather(np.arange(count))
            for name, count in self.method.sizes.items()
        }
        self._resident = to_device(self.examples, over_batch(self.mesh))
        self.batch = self.batch_of(names[0])

    def batch_of(self, active):
        """The resident batch with one modality marked active, which only SALT reads."""
        number = np.int32(self.towers.names.index(active))
        return {**self._resident, "_active": to_device(number, replicated(self.mesh))}

    def __call__(self):
        """One step, not waited for, as in the training loop."""
        return self.on(self.batch)

    def on(self, batch):
        """One step on another batch."""
        self.state, metrics = self.compiled(self.state, batch)
        return metrics


def beside_peers(pair, melt, salt, size):
    """Whole steps: ours and the peers'."""
    sides = {"pair": pair, "MELT": melt, "SALT": salt}
    for label, make in (("published", published), ("vectorised", vectorised)):
        step = Step(make(size.degree, HIDDEN, FEATURES), WIDTHS, FEATURES)
        for method, ours in (("pair", pair), ("MELT", melt)):
            sides[f"{method}, {label}"] = partial(step, tensors(ours.examples))
    times = in_turns(sides, size.rounds, size.steps)
    print(
        "| step | earth_embed, ms | PyTorch, published basis, ms | ratio "
        "| PyTorch, vectorised basis, ms | ratio |\n|---|---|---|---|---|---|"
    )
    for method, peer in (("pair", "pair"), ("MELT", "MELT"), ("SALT", "pair")):
        cells = [f"{milliseconds(times[method]):.0f}"]
        for label in ("published", "vectorised"):
            theirs = times[f"{peer}, {label}"]
            cells += [f"{milliseconds(theirs):.0f}", f"{ratio(theirs, times[method]):.2f}"]
        print(f"| {method} | {' | '.join(cells)} |", flush=True)
    print("\nA peer's SALT step is its pair step of the active modality.\n")


def beside_unswitched(pairs, salt, size):
    """SALT's one compiled step beside a pair step compiled for the active modality alone."""
    sides = {}
    for name in pairs:
        sides[f"{name}, pair"] = pairs[name]
        sides[f"{name}, SALT"] = partial(salt.on, salt.batch_of(name))
    times = in_turns(sides, 2 * size.rounds, size.steps)
    print(
        "| active modality | pair step, ms | SALT's switched step, ms | overhead |\n"
        "|---|---|---|---|"
    )
    for name in pairs:
        alone, switched = times[f"{name}, pair"], times[f"{name}, SALT"]
        print(
            f"| {name} | {milliseconds(alone):.1f} | {milliseconds(switched):.1f} "
            f"| {ratio(switched, alone) - 1:+.1%} |",
            flush=True,
        )
    print()


def parts(melt, rate, size):
    """Each part of MELT's step, compiled alone."""
    towers, names, batch = melt.towers, melt.towers.names, melt.batch
    params = jax.tree.map(jnp.copy, melt.state.params)  # the state's own are donated to its step
    lonlat = jnp.concatenate([batch[name]["lonlat"] for name in names])  # (B, 2)
    cotangent = jax.random.normal(jax.random.key(0), (size.batch, FEATURES))
    compare = build_loss(melt.experiment.loss, "sample_to_location", melt.experiment.memory)

    def locations(params):
        return towers.encode_location(params, lonlat)

    def projections(params):
        encoded = [towers.encode_sample(params, name, batch[name]["sample"]) for name in names]
        return jnp.concatenate(encoded)

    def loss(embedded):
        contrast = compare(Pairs(*embedded))
        return contrast.loss.mean(), contrast.retrieved.mean()

    def gradient(function):
        def backward(params, cotangent):
            out, pull = jax.vjp(function, params)
            return out, pull(cotangent)

        return jax.jit(backward)

    def linear(params, gradients, step):
        return optax.tree.vdot(params, gradients), {}

    update = Updater(towers)
    everything = towers.trained(names)
    updated = compile_step(
        lambda state, g: (update(state, g, linear, everything)[0], ()), melt.mesh
    )
    state = jax.tree.map(jnp.copy, melt.state)

    def optimiser():
        nonlocal state
        state, _ = updated(state, params)
        return state.step

    embedded = (cotangent, cotangent[::-1], jnp.full(size.batch, 14.0))
    compared = jax.jit(jax.value_and_grad(loss, has_aux=True))
    encoders = {"location": gradient(locations), "projections": gradient(projections)}
    projected = sum(2 * len(batch[name]["sample"]) * WIDTHS[name] * FEATURES for name in names)
    flops = {
        "location tower": encoders["location"].lower(params, cotangent).cost_analysis()["flops"],
        "projections": 2 * projected,
        "loss": 3 * 2 * size.batch**2 * FEATURES,
        "optimiser": 15 * sum(leaf.size for leaf in jax.tree.leaves(params)),
    }
    flops["whole MELT step"] = sum(flops.values())
    times = in_turns(
        {
            "location tower": lambda: encoders["location"](params, cotangent),
            "projections": lambda: encoders["projections"](params, cotangent),
            "loss": lambda: compared(embedded),
            "optimiser": optimiser,
            "whole MELT step": melt,
        },
        size.rounds,
        size.steps,
    )
    print("| part, with its gradient | ms | of the step | GFLOP | of the matmul rate |")
    print("|---|---|---|---|---|")
    for part, taken in times.items():
        share = ratio(taken, times["whole MELT step"])
        reached = flops[part] / statistics.median(taken) / rate
        print(
            f"| {part} | {milliseconds(taken):.1f} | {share:.0%} | {flops[part] / 1e9:.2f} "
            f"| {reached:.0%} |",
            flush=True,
        )
    print()


def fed(melt, sources, size):
    """MELT's step on batches from the training loop's input."""
    batches = Batches(sources, melt.experiment.input, melt.experiment.seed)
    stream = feed(melt.method, batches, melt.mesh, 0, 10**6)
    times = in_turns(
        {
            "resident": melt,
            "fed": lambda: melt.on(next(stream).batch),
            "transfer": lambda: to_device(melt.examples, over_batch(melt.mesh)),
        },
        size.rounds,
        size.steps,
    )
    print(
        "| MELT step on a resident batch, ms | on a new batch each step, ms | input's cost "
        "| one transfer alone, ms |"
    )
    print("|---|---|---|---|")
    resident, new, transfer = times.values()
    print(
        f"| {milliseconds(resident):.1f} | {milliseconds(new):.1f} "
        f"| {ratio(new, resident) - 1:+.1%} | {milliseconds(transfer):.2f} |"
    )


def make_source(width, count):
    """Random features at places drawn uniformly on the sphere."""
    rng = np.random.default_rng(width)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    lonlat = np.stack([rng.uniform(-180, 180, count), lat], axis=1)
    return ArraySource(rng.normal(size=(count, width)).astype(np.float32), lonlat)


def milliseconds(times):
    """The median, in ms."""
    return 1e3 * statistics.median(times)


def ratio(times, others):
    """The median of each round's ratio."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


if __name__ == "__main__":
    main()
