"""Counted floating-point operations against those written by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from earth_embed.step.mesh import build_mesh
from earth_embed.training.accounting import peak_flops, product_flops
from tests.methods.setup import Setup

X, W = jnp.ones((16, 5)), jnp.ones((5, 7))
ONE = 2 * 16 * 5 * 7


def recomputed(x):
    return jnp.sin(jax.checkpoint(lambda x: jnp.sin(x @ W) @ W.T)(x))


def image(x):
    return jax.lax.conv(jnp.ones((2, 3, 8, 8)), jnp.ones((4, 3, 3, 3)) * x[0, 0], (1, 1), "SAME")


def rows_on_devices(x):
    rows = PartitionSpec(("data", "model"))
    return jax.shard_map(lambda x: x @ W, mesh=build_mesh(), in_specs=rows, out_specs=rows)(x)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x @ W, ONE),
        (lambda x: jnp.einsum("bi,io->bo", x, W), ONE),
        (lambda x: jnp.matmul(jnp.stack([x, x]), jnp.stack([W, W])), 2 * ONE),
        (jax.jit(lambda x: x @ W), ONE),
        (jax.grad(lambda x: (x @ W).sum()), 2 * ONE),
        (lambda x: jax.lax.map(lambda row: row @ W, x), ONE),
        (lambda x: jax.lax.cond(x[0, 0] > 0, lambda: x @ W @ W.T, lambda: x), 0),
        (jax.grad(lambda x: recomputed(x).sum()), 5 * ONE),  # two, one of them again, and two back
        (rows_on_devices, ONE),
        (image, 2 * (2 * 4 * 8 * 8) * (3 * 3 * 3)),
    ],
)
def test_products_are_counted_wherever_they_are(function, expected):
    assert product_flops(jax.make_jaxpr(function)(X)) == expected


def test_the_branch_that_runs_is_counted():
    def function(x, i):
        return jax.lax.switch(i, [lambda: x, lambda: x @ W @ W.T, lambda: x @ (W @ W.T)])

    program = jax.make_jaxpr(function)(X, 0)
    small = 2 * 5 * 7 * 5 + 2 * 16 * 5 * 5
    assert [product_flops(program, branch) for branch in range(3)] == [0, 2 * ONE, small]


@pytest.mark.parametrize("kind", ["melt", "salt"])
def test_a_step_costs_three_times_its_towers(kind, make_experiment, sources):
    """Forward, and two gradients of the same cost in every layer but the first, which has one."""
    setup = Setup(make_experiment(kind, ("text", "series")), sources)
    fed = next(setup.feed(0, 1))
    order = list(setup.method.sizes)
    counted = product_flops(
        setup.step.trace(setup.state, fed.batch).jaxpr, order.index(fed.names[0])
    )
    towers, batch = setup.towers, sum(setup.method.sizes[name] for name in fed.names)
    forward = product_flops(
        jax.make_jaxpr(lambda p, x: towers.encode_location(p, x))(
            setup.state.params, jnp.zeros((batch, 2))
        )
    )
    loss = 3 * 2 * batch**2 * 8
    for name in fed.names:
        shape = fed.batch[name]["sample"]
        forward += product_flops(
            jax.make_jaxpr(lambda p, x, name=name: towers.encode_sample(p, name, x))(
                setup.state.params, shape
            )
        )
    assert 2 * forward + loss < counted < 3 * forward + loss


def test_peaks_are_of_known_devices_alone():
    def devices(*kinds):
        return [SimpleNamespace(device_kind=kind) for kind in kinds]

    assert peak_flops(jax.devices()) is None
    assert peak_flops(devices("NVIDIA H200", "NVIDIA H200")) == 2 * 989e12
    assert peak_flops(devices("TPU v5 lite")) == 197e12
    assert peak_flops(devices("NVIDIA H200", "a toaster")) is None


def test_counting_traces_no_step_anew(make_experiment, sources):
    setup = Setup(make_experiment("pair"), sources)
    fed = next(setup.feed(0, 1))
    setup.state, _ = setup.step(setup.state, fed.batch)
    product_flops(setup.step.trace(setup.state, fed.batch).jaxpr)
    assert setup.traces == 1
