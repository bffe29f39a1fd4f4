"""Pair, MELT and SALT against their definitions, and one device against eight."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from earth_embed.config import LogitScale, Melt, Salt
from earth_embed.data.order import Draw
from earth_embed.losses.nt_xent import nt_xent
from earth_embed.losses.pairs import Pairs
from earth_embed.methods.batch import quotas
from tests.conftest import METHODS
from tests.methods.setup import Setup
from tests.training.runs import assert_same_update


def same(a, b):
    return all(
        np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def test_melt_loss_is_the_papers_joint_nt_xent(make_experiment, sources):
    setup = Setup(make_experiment("melt"), sources)
    batch = next(setup.feed(0, 1)).batch
    pairs = [setup.encode(name, batch) for name in setup.towers.names]
    z, e = (np.concatenate([np.asarray(x) for x in part]) for part in zip(*pairs, strict=True))
    expected = nt_xent(Pairs(jnp.asarray(z), jnp.asarray(e), jnp.float32(1 / 0.07)))
    _, metrics = setup.step(setup.state, batch)
    assert metrics["loss"] == pytest.approx(float(expected.loss.mean()), rel=1e-5)
    hits = np.asarray(expected.retrieved).reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(metrics["retrieval@1"], hits)


def test_melt_options(make_experiment, sources):
    """Each option against the pairs' own losses."""

    def loss_of(**options):
        method = Melt(quotas=(32, 16), **options)
        experiment = make_experiment("melt", ("text", "series"), method=method)
        setup = Setup(experiment, sources)
        batch = next(setup.feed(0, 1)).batch
        within = []
        for name in setup.towers.names:
            z, e = setup.encode(name, batch)
            within.append(nt_xent(Pairs(z, e, jnp.float32(1 / 0.07))).loss)
        _, metrics = setup.step(setup.state, batch)
        assert setup.method.sizes == {"text": 32, "series": 16}
        return float(metrics["loss"]), [np.asarray(losses) for losses in within]

    loss, within = loss_of(negatives="within")
    assert loss == pytest.approx(np.concatenate(within).mean(), rel=1e-5)
    by_modality, within = loss_of(negatives="within", reduction="modalities")
    assert by_modality == pytest.approx(np.mean([part.mean() for part in within]), rel=1e-5)
    assert by_modality != pytest.approx(loss, rel=1e-4)
    joint, _ = loss_of()
    assert joint > loss  # more negatives, same positives


@pytest.mark.parametrize("kind", ["pair", "melt", "salt"])
def test_symmetric_direction_is_the_mean_of_rows_and_columns(kind, make_experiment, sources):
    settings = dataclasses.replace(METHODS[kind], direction="symmetric")
    setup = Setup(make_experiment(kind, ("text", "series"), method=settings), sources)
    fed = next(setup.feed(0, 1))
    pairs = [setup.encode(name, fed.batch) for name in fed.names]
    z, e = (np.concatenate([np.asarray(x) for x in part]) for part in zip(*pairs, strict=True))
    z, e = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (z, e))
    logits = (z @ e.T).astype(np.float64) / 0.07
    rows, columns = (logsumexp(logits, axis=axis) - np.diagonal(logits) for axis in (1, 0))
    _, metrics = setup.step(setup.state, fed.batch)
    assert metrics["loss"] == pytest.approx((rows.mean() + columns.mean()) / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "names"),
    [("pair", ("image",)), ("melt", ("text", "series")), ("salt", ("series", "text"))],
)
def test_a_step_in_bfloat16_keeps_float32_state(kind, names, make_experiment, sources):
    with jax.numpy_dtype_promotion("standard"):  # Flax's LayerNorm needs it
        setup = Setup(make_experiment(kind, names, compute_dtype="bfloat16"), sources)
        exact = Setup(make_experiment(kind, names), sources)
        batch = next(setup.feed(0, 1)).batch
        state, metrics = setup.step(setup.state, batch)
        _, reference = exact.step(exact.state, batch)
    kinds = {leaf.dtype for leaf in jax.tree.leaves((state.params, state.moments))}
    assert kinds <= {jnp.dtype("float32"), jnp.dtype("int32")}
    assert metrics["loss"].dtype == jnp.float32
    assert metrics["loss"] == pytest.approx(float(reference["loss"]), rel=0.05)
    assert metrics["loss"] != reference["loss"]


@pytest.mark.parametrize(
    "method", [Melt(temperature="per_modality"), Salt(temperature="per_modality")]
)
def test_one_temperature_for_each_modality(method, make_experiment, sources):
    setup = Setup(make_experiment("melt", ("text", "series"), method=method), sources)
    keys = [key for key in setup.state.params if key.startswith("logit_scale")]
    assert sorted(keys) == sorted(f"logit_scale:{name}" for name in setup.towers.names)
    before = jax.device_get({key: setup.state.params[key] for key in keys})
    fed = next(setup.feed(0, 1))
    state, _ = setup.step(setup.state, fed.batch)
    moved = {key for key in keys if float(state.params[key]) != before[key]}
    assert moved == {f"logit_scale:{name}" for name in fed.names}


def test_fixed_temperature_stays(make_experiment, sources):
    fixed = LogitScale(0.2, learnable=False)
    setup = Setup(make_experiment("melt", ("text", "series"), logit_scale=fixed), sources)
    state, metrics = setup.step(setup.state, next(setup.feed(0, 1)).batch)
    np.testing.assert_allclose(metrics["logit_scale"], 5, rtol=1e-6)
    assert float(state.params["logit_scale"]) == pytest.approx(np.log(5))


def test_quotas_are_equal_shares_unless_set(make_experiment):
    assert quotas(make_experiment("melt", batch_size=50)) == {"image": 17, "text": 17, "series": 16}
    chosen = make_experiment("melt", method=Melt(quotas=(40, 6, 2)))
    assert list(quotas(chosen).values()) == [40, 6, 2]


@pytest.mark.parametrize("names", [("image", "text"), ("image", "text", "series")])
def test_salt_leaves_the_idle_towers_alone_to_the_last_bit(names, make_experiment, sources):
    """Momentum and weight decay included: every idle tower has been active before."""
    setup = Setup(make_experiment("salt", names, steps=40), sources)
    state, last = setup.state, None
    switches = 0
    for fed in setup.feed(0, 24):
        (active,) = fed.names
        switches += last is not None and active != last
        last = active
        before = jax.device_get((state.params, state.moments))
        state, _ = setup.step(state, fed.batch)
        after = jax.device_get((state.params, state.moments))
        for part_before, part_after in zip(before, after, strict=True):
            for tower in part_before:
                idle = tower.startswith("modality:") and tower != f"modality:{active}"
                assert same(part_before[tower], part_after[tower]) == idle, tower
    assert switches >= 4
    assert setup.traces == 1  # compiled once, however often the pair changed
    assert setup.step._cache_size() == 1


def test_salt_takes_the_step_of_a_pair(make_experiment, sources):
    """In a phase of its own, SALT computes what a pair would."""
    salt = Setup(make_experiment("salt", ("image", "text")), sources)
    pair = Setup(make_experiment("pair", ("image",)), sources)
    salt_state, pair_state = salt.state, pair.state
    for a, b in zip(salt.feed(0, 3), pair.feed(0, 3), strict=True):
        salt_state, salt_metrics = salt.step(salt_state, a.batch)
        pair_state, pair_metrics = pair.step(pair_state, b.batch)
        np.testing.assert_allclose(salt_metrics["loss"], pair_metrics["loss"], rtol=1e-5)
        if pair_state.step == 1:
            assert_same_update(salt_state, pair_state, pair_state.params)


@pytest.mark.parametrize("order", ["cyclic", "shuffled"])
def test_salt_schedule(order, make_experiment, sources):
    """Phases are whole epochs, batch numbers rise by one, every round has every modality."""
    experiment = make_experiment("salt", method=Salt(phase_epochs=2, order=order), steps=200)
    method = Setup(experiment, sources).method
    lengths = {"image": 2 * (192 // 48), "text": 2 * (160 // 48), "series": 2 * (128 // 48)}
    draws = [method.draws(step) for step in range(200)]
    assert draws == [method.draws(step) for step in range(200)]
    for name in lengths:
        numbers = [d[name].batch for d in draws if name in d]
        assert numbers == list(range(len(numbers)))
    turn = sum(lengths.values())
    orders = set()
    for start in range(0, 200 - turn, turn):
        names = [next(iter(d)) for d in draws[start : start + turn]]
        phases = [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
        assert sorted(phases) == sorted(lengths)
        assert {name: names.count(name) for name in lengths} == lengths
        orders.add(tuple(phases))
    assert (len(orders) > 1) == (order == "shuffled")
    assert all(d == {next(iter(d)): Draw(next(iter(d.values())).batch, 48)} for d in draws)


def test_only_the_active_modality_is_transferred(make_experiment, sources):
    setup = Setup(make_experiment("salt"), sources)
    feds = list(setup.feed(0, 12))
    assert len({fed.names for fed in feds}) > 1
    for name in setup.towers.names:
        idle = [fed.batch[name]["sample"] for fed in feds if name not in fed.names]
        assert idle
        assert all(array is idle[0] for array in idle)  # the same buffer, not a new transfer
        assert not np.asarray(idle[0]).any()
