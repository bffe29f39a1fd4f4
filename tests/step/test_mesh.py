"""What the devices of a mesh hold, what they send each other, and that they compute the same."""

import math
import re
from collections import Counter

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from earth_embed.config import LocationConfig, Memory, Siren, SphericalHarmonics
from earth_embed.errors import ConfigError
from earth_embed.step.mesh import build_mesh, share_of_process, split_state
from tests.methods.setup import Setup
from tests.training.runs import assert_same_update

BATCH, DIM = 48, 8
COLLECTIVES = (
    "all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute|collective-broadcast"
)
LOCATION = LocationConfig(SphericalHarmonics(6), Siren((24, 40)), features=DIM)


def collectives(compiled):
    """(operation, shape of the result) of every collective of a program, with its number."""
    found = Counter()
    for line in compiled.as_text().splitlines():
        match = re.search(rf" = (.+?) ({COLLECTIVES})(?:-start)?\(", line)
        for shape in re.findall(r"\w+\[([\d,]*)\]", match[1]) if match else ():
            found[match[2], tuple(int(n) for n in shape.split(",") if n)] += 1
    return found


@pytest.mark.parametrize("model", [1, 2])
@pytest.mark.parametrize("kind", ["pair", "melt", "salt"])
def test_a_step_sends_embeddings_and_gradients_and_nothing_else(
    kind, model, make_experiment, sources
):
    experiment = make_experiment(kind, ("text", "series"), location=LOCATION, batch_size=BATCH)
    setup = Setup(experiment, sources, model=model)
    fed = next(setup.feed(0, 1))
    found = collectives(setup.step.lower(setup.state, fed.batch).compile())
    branches = 2 if kind == "salt" else 1

    kinds = {operation for operation, _ in found}
    assert kinds <= {"all-gather", "all-reduce", "reduce-scatter"}, found
    gathers = {shape: n for (operation, shape), n in found.items() if operation == "all-gather"}
    batches = {shape: n for shape, n in gathers.items() if BATCH in shape}
    # Negatives need the locations' embeddings; nothing else of the batch goes to other devices.
    assert batches == {(DIM, BATCH): branches}
    rest = {tuple(sorted(shape)) for shape in gathers.keys() - batches.keys()}
    parameters = {tuple(sorted(p.shape)) for p in jax.tree.leaves(setup.state.params)}
    assert rest <= (parameters if model > 1 else set())
    # Gradients: those of the parameters, and of the gathered embeddings on their way home.
    sums = {tuple(sorted(shape)) for (operation, shape) in found if operation == "all-reduce"}
    assert (DIM, BATCH) in sums
    assert max(map(math.prod, sums - {(DIM, BATCH)})) <= max(map(math.prod, parameters))


@pytest.mark.parametrize(
    ("kind", "memory"),
    [
        ("pair", Memory(tile=8)),
        ("melt", Memory(tile=8, exchange="ring", microbatch=16)),
        ("salt", Memory()),
    ],
)
def test_a_split_state_trains_as_a_whole_one(kind, memory, make_experiment, sources):
    experiment = make_experiment(
        kind, ("text", "series"), location=LOCATION, batch_size=BATCH, memory=memory
    )
    first, losses = [], []
    for model in (1, 4):
        setup = Setup(experiment, sources, model=model)
        for fed in setup.feed(0, 3):
            setup.state, metrics = setup.step(setup.state, fed.batch)
            losses.append(float(metrics["loss"]))
            if setup.state.step == 1:
                first.append(jax.device_get(setup.state))
    assert losses[3:] == pytest.approx(losses[:3], rel=1e-5)
    assert_same_update(*first, first[0].params)


def test_a_split_state_needs_less_memory(make_experiment, sources):
    experiment = make_experiment("pair", location=LOCATION)
    whole, split = (Setup(experiment, sources, model=model) for model in (1, 8))

    def bytes_of_one_device(state):
        return sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))

    assert bytes_of_one_device(split.state) < bytes_of_one_device(whole.state) / 4
    kernel = split.state.params["location"]["siren"]["hidden_1"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (24, 40 // 8)


def test_the_longest_axis_that_divides_is_split():
    mesh = build_mesh(4)
    shapes = {
        "rows": jnp.zeros((40, 8)),
        "columns": jnp.zeros((30, 16)),
        "indivisible": jnp.zeros((9, 7)),
        "small": jnp.zeros((4, 4)),
    }
    specs = {name: s.spec for name, s in split_state(shapes, mesh, split_from=17).items()}
    assert specs == {
        "rows": PartitionSpec("model"),
        "columns": PartitionSpec(None, "model"),
        "indivisible": PartitionSpec(),
        "small": PartitionSpec(),
    }


def test_the_mesh_and_one_process_share():
    mesh = build_mesh(2)
    assert dict(mesh.shape) == {"data": 4, "model": 2}
    assert share_of_process(mesh) == (0, 1)
    with pytest.raises(ConfigError, match=r"mesh\.model = 3.*divisor of the number of devices, 8"):
        build_mesh(3)
