"""Steps that are divided, among devices, into tiles and into microbatches, and whole data sets."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.config import GeodesicNtXent, Memory, NtXent, Salt, Sigmoid
from earth_embed.data.order import Draw
from earth_embed.data.sources import ArraySource
from earth_embed.step.mesh import compile_step
from tests.methods.setup import Setup, gradients_of_a_step, reveal


def vector(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize(
    ("method", "loss", "memory"),
    [
        ("pair", NtXent(), Memory()),
        ("melt", NtXent(), Memory()),
        ("salt", NtXent(), Memory()),
        ("pair", Sigmoid(), Memory(tile=8)),
        ("melt", GeodesicNtXent(900.0), Memory(tile=8, microbatch=16)),
        ("salt", NtXent(), Memory(tile=8, exchange="ring", microbatch=8)),
    ],
    ids=str,
)
def test_gradients_on_eight_devices_equal_those_on_one(
    method, loss, memory, make_experiment, sources
):
    """The gradients themselves, not the loss alone, which is right even when they are wrong.

    In tiles and microbatches on eight, whole on one.
    """
    names = ("image", "text", "series") if memory == Memory() else ("text", "series")
    plain = make_experiment(method, names, loss=loss)
    divided = dataclasses.replace(plain, memory=memory)
    one, metrics_one, trained = gradients_of_a_step(plain, sources, jax.devices()[:1])
    eight, metrics_eight, _ = gradients_of_a_step(divided, sources, jax.devices())
    assert any(tower.startswith("logit_bias") for tower in trained) == (loss == Sigmoid())
    for tower in trained:
        a, b = (vector(part[tower]) for part in (one, eight))
        assert np.linalg.norm(a) > 0
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a), tower
    for name, value in metrics_one.items():
        np.testing.assert_allclose(value, metrics_eight[name], rtol=1e-5)


def test_one_bias_for_each_temperature_of_the_sigmoid_loss(make_experiment, sources):
    """It starts where it is set, trains, and stays when its modality is idle."""
    method = Salt(temperature="per_modality")
    experiment = make_experiment("salt", ("text", "series"), method=method, loss=Sigmoid(bias=-3.0))
    setup = Setup(experiment, sources)
    keys = {f"logit_bias:{name}" for name in setup.towers.names}
    assert keys == {key for key in setup.state.params if key.startswith("logit_bias")}
    assert {float(setup.state.params[key]) for key in keys} == {-3.0}
    fed = next(setup.feed(0, 1))
    state, _ = setup.step(setup.state, fed.batch)
    moved = {key for key in keys if float(state.params[key]) != -3.0}
    assert moved == {f"logit_bias:{name}" for name in fed.names}


@pytest.mark.parametrize("method", ["pair", "melt", "salt"])
def test_a_batch_of_everything(method, make_experiment, sources):
    """One step is one epoch: every example, but for a rest that eight devices cannot share."""
    text = sources["text"].train
    odd = ArraySource(text.samples[:157], text.lonlat[:157])
    counts = {"text": 152, "series": 128}
    experiment = make_experiment(method, ("text", "series"), batch_size="all")
    setup = Setup(experiment, sources | {"text": sources["text"]._replace(train=odd)})
    assert setup.method.sizes == {name: counts[name] for name in setup.towers.names}
    draws = [setup.method.draws(step) for step in range(6)]
    for name in setup.towers.names:
        own = [draw[name] for draw in draws if name in draw]
        assert own == [Draw(i, counts[name]) for i in range(len(own))]
    fed = next(setup.feed(0, 1))
    for name in fed.names:
        places = np.asarray(fed.batch[name]["lonlat"])
        assert len(np.unique(places, axis=0)) == counts[name]


def test_a_batch_of_everything_is_whole_microbatches(make_experiment, sources):
    experiment = make_experiment("pair", batch_size="all", memory=Memory(microbatch=40))
    assert Setup(experiment, sources).method.sizes == {"image": 160}


def test_gradients_hang_on_no_last_digit(make_experiment, sources):
    """The gradients at two states that lie a rounding apart are the same, after a first update.

    A compiler may compute a value twice and round it in two ways. A gradient that compares the two
    (as that of a maximum does) then loses entries, others with each last digit: 7e-3 of the
    gradient where the text tower did so, 3e-6 now, which is what the shift itself does.
    """
    experiment = make_experiment("melt", batch_size="all")
    setup = Setup(experiment, sources)
    first, second = (fed.batch for fed in setup.feed(0, 2))
    state, _ = setup.step(setup.state, first)  # biases start at zero, where all is exact
    reveals = compile_step(lambda state, batch: setup.method.step(state, batch, reveal), setup.mesh)
    shifted = state.replace(params=jax.tree.map(lambda p: p * np.float32(1 + 2e-7), state.params))
    # A step may reuse the memory of its state.
    trees = [
        jax.device_get(reveals(jax.tree.map(jnp.copy, s), second)[0].params)
        for s in (state, shifted)
    ]
    for tower in setup.towers.trained(setup.towers.names):
        a, b = (vector(tree[tower]) for tree in trees)
        assert np.linalg.norm(a) > 0
        assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(a), tower
