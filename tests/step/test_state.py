from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from earth_embed.config import (
    Combined,
    EqualEarthFourier,
    LocationConfig,
    LogitScale,
    Mlp,
    Optimizer,
    Siren,
    SphericalHarmonics,
)
from earth_embed.errors import ConfigError
from earth_embed.step.mesh import (
    build_mesh,
    check_divisible,
    compile_step,
    init_sharded,
    replicated,
)
from earth_embed.step.state import Updater, learning_rate_schedule
from earth_embed.step.towers import Towers
from tests.training.runs import assert_same_state


def make(experiment, sources):
    towers = Towers(experiment)
    samples = {name: sources[name].train.samples[:1] for name in towers.names}
    update = Updater(towers)
    return towers, update, init_sharded(partial(update.init, samples), replicated(build_mesh()))


def quadratic(params, batch, step):
    del step
    return sum((leaf**2).sum() * batch["weight"] for leaf in jax.tree.leaves(params)), {}


def finite_loss_of_infinite_gradient(params, batch, step):
    del batch, step
    distances = (leaf - jax.lax.stop_gradient(leaf) for leaf in jax.tree.leaves(params))
    return sum(jnp.sqrt(distance).sum() for distance in distances), {}


def infinite_loss_of_zero_gradient(params, batch, step):
    del batch, step
    return sum(0 * leaf.sum() for leaf in jax.tree.leaves(params)) + jnp.inf, {}


def test_update_is_optax_adamw(make_experiment, sources):
    settings = Optimizer(learning_rate=3e-3, weight_decay=0.1, warmup_steps=2, final_fraction=0.1)
    towers, update, state = make(make_experiment("pair", optimizer=settings), sources)
    trained = towers.trained(towers.names)
    reference = optax.adamw(
        learning_rate_schedule(towers.experiment),
        weight_decay=0.1,
        mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p),
    )
    params = jax.device_get(state.params)
    moments = reference.init(params)
    step = jax.jit(lambda s, b: update(s, b, quadratic, trained))

    @jax.jit
    def reference_step(params, moments, batch):
        gradient = jax.grad(lambda p: quadratic(p, batch, 0)[0])(params)
        change, moments = reference.update(gradient, moments, params)
        return optax.apply_updates(params, change), moments

    with jax.numpy_dtype_promotion("standard"):
        for weight in (1.0, -0.5, 2.0, 0.1):
            batch = {"weight": jnp.float32(weight)}
            params, moments = reference_step(params, moments, batch)
            state, _ = step(state, batch)
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_frozen_parameters_do_not_move_by_one_bit(make_experiment, sources):
    """Though the loss has a gradient there, and weight decay acts on matrices."""
    part = LocationConfig(EqualEarthFourier(4, (1.0, 16.0)), Mlp((8,)), features=8)
    location = Combined((part, LocationConfig(SphericalHarmonics(3), Siren((8,)), features=8)))
    settings = Optimizer(learning_rate=1e-2, weight_decay=0.3)
    experiment = make_experiment("pair", location=location, optimizer=settings)
    towers, update, state = make(experiment, sources)
    step = jax.jit(lambda s, b: update(s, b, quadratic, towers.trained(towers.names)))
    before = jax.device_get(state.params["location"])
    for _ in range(3):
        state, _ = step(state, {"weight": jnp.float32(1)})
    after = jax.device_get(state.params["location"])
    frozen = [p["part_0"]["encoding"].pop("frozen_frequencies") for p in (before, after)]
    np.testing.assert_array_equal(*frozen)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (np.abs(old - new) > 0).all() or (old == 0).all()


@pytest.mark.parametrize("loss", [finite_loss_of_infinite_gradient, infinite_loss_of_zero_gradient])
def test_nothing_but_the_step_moves_where_it_is_not_finite(loss, make_experiment, sources):
    towers, update, state = make(make_experiment("pair"), sources)
    trained = towers.trained(towers.names)
    good = jax.jit(lambda s: update(s, {"weight": jnp.float32(1)}, quadratic, trained))
    bad = jax.jit(lambda s: update(s, {}, loss, trained))
    squares = [np.square(leaf).sum() for leaf in jax.tree.leaves(jax.device_get(state.params))]
    state, metrics = good(state)
    np.testing.assert_allclose(metrics["gradient_norm"], 2 * np.sqrt(np.sum(squares)), rtol=1e-5)
    after, metrics = bad(state)
    assert np.isfinite(metrics["loss"]) != np.isfinite(metrics["gradient_norm"])
    assert int(after.step) == int(state.step) + 1
    assert_same_state(after.replace(step=state.step), state)
    moved, _ = good(after)
    for old, new in zip(jax.tree.leaves(state.params), jax.tree.leaves(moved.params), strict=True):
        assert (old != new).any() or (old == 0).all()


def test_schedule_warms_up_and_decays(make_experiment):
    settings = Optimizer(learning_rate=1.0, warmup_steps=10, final_fraction=0.2)
    rate = learning_rate_schedule(make_experiment(optimizer=settings, steps=110))
    assert float(rate(0.0)) == 0
    assert float(rate(5.0)) == pytest.approx(0.5)
    assert float(rate(10.0)) == pytest.approx(1)
    assert float(rate(60.0)) == pytest.approx(0.6)
    assert float(rate(110.0)) == pytest.approx(0.2)
    constant = learning_rate_schedule(
        make_experiment(optimizer=Optimizer(learning_rate=1.0, final_fraction=1.0))
    )
    assert float(constant(0.0)) == float(constant(8.0)) == 1


def test_logit_scale_is_clamped_and_comes_back(make_experiment, sources):
    experiment = make_experiment(
        "pair",
        logit_scale=LogitScale(0.5, min_temperature=0.4),
        optimizer=Optimizer(0.5),
        steps=1000,
    )
    towers, update, state = make(experiment, sources)

    def towards(sign):
        def loss(params, batch, step):
            return sign * towers.logit_scale(params, "image"), {}

        return jax.jit(lambda s: update(s, {}, loss, ("logit_scale",)))

    for _ in range(3):
        state, _ = towards(-1)(state)
    assert float(jnp.exp(state.params["logit_scale"])) == pytest.approx(2.5)
    for _ in range(12):
        state, _ = towards(1)(state)
    assert float(jnp.exp(state.params["logit_scale"])) < 2.4


def test_state_is_born_on_the_mesh_and_donated(make_experiment, sources):
    towers, update, state = make(make_experiment("pair"), sources)
    for leaf in jax.tree.leaves(state):
        assert leaf.sharding.device_set == set(jax.devices())
    step = compile_step(
        lambda s, b: update(s, b, quadratic, towers.trained(towers.names)), build_mesh()
    )
    new, _ = step(state, {"weight": jnp.float32(1)})
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    assert int(new.step) == 1


def test_batches_that_the_devices_cannot_share():
    with pytest.raises(ConfigError, match=r"\{'b': 12\}: expected multiples .* devices, 8"):
        check_divisible({"a": 16, "b": 12}, build_mesh())
    with pytest.raises(ConfigError, match=r"\{'b': 24\}: expected multiples of memory.* 16"):
        check_divisible({"a": 16, "b": 24}, build_mesh(), microbatch=16)
    with pytest.raises(ConfigError, match=r"memory\.microbatch = 12: expected a multiple .* 8"):
        check_divisible({"a": 16}, build_mesh(), microbatch=12)
