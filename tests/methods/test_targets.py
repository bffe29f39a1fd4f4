"""Frozen targets that location embeddings are mapped to, by contrast and by regression."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import logsumexp

from earth_embed.config import LogitScale, Melt, Modality, NtXent, Pair, Regression
from earth_embed.data import Splits
from earth_embed.errors import ConfigError
from tests.conftest import make_source
from tests.methods.setup import Setup, gradients_of_a_step


@pytest.fixture
def setup(make_experiment, sources):
    """A method on the series (12 numbers) and the text (as 12 numbers) as targets."""
    of = {
        "series": sources["series"],
        "bytes": Splits(make_source("text", 160, 1), make_source("text", 32, 2)),
    }

    def build(names=("series", "bytes"), method=None, **changes):
        modalities = tuple(Modality(n, "memory", "sample", "target") for n in names)
        method = method or (Pair() if len(names) == 1 else Melt(negatives="within"))
        experiment = make_experiment("melt")
        changes |= {"method": method, "modalities": modalities}
        return Setup(dataclasses.replace(experiment, **changes), of)

    return build


def by_hand(setup, name, batch):
    """Targets and predictions, in float64."""
    lonlat, sample = batch[name]["lonlat"], batch[name]["sample"]
    embedding = np.asarray(jax.jit(setup.towers.encode_location)(setup.state.params, lonlat))
    head = setup.state.params[f"modality:{name}"]["Dense_0"]
    targets = np.asarray(sample, np.float64).reshape(len(sample), -1)
    predictions = embedding @ np.asarray(head["kernel"], np.float64) + np.asarray(head["bias"])
    return targets, predictions


def nt_xent(targets, predictions, temperature=0.07):
    z, e = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (targets, predictions))
    logits = z @ e.T / temperature
    return logsumexp(logits, axis=1) - np.diagonal(logits)


def squared_error(targets, predictions):
    return ((targets - predictions) ** 2).mean(axis=1)


def test_pair(setup):
    pair = setup(("series",))
    batch = next(pair.feed(0, 1)).batch
    expected = nt_xent(*by_hand(pair, "series", batch)).mean()
    _, metrics = pair.step(pair.state, batch)
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("reduction", ["samples", "modalities"])
@pytest.mark.parametrize(
    ("loss", "formula"),
    [(NtXent(), nt_xent), (Regression(), squared_error)],
    ids=["contrast", "regression"],
)
def test_melt_weighs_each_modality_in_its_own_space(loss, formula, reduction, setup):
    weights = (1.0, 0.2)
    method = Melt(quotas=(16, 32), negatives="within", reduction=reduction, weights=weights)
    melt = setup(method=method, loss=loss)
    batch = next(melt.feed(0, 1)).batch
    each = [formula(*by_hand(melt, name, batch)) for name in melt.towers.names]
    _, metrics = melt.step(melt.state, batch)
    if reduction == "modalities":
        expected = np.average([values.mean() for values in each], weights=weights)
    else:
        expected = np.average(np.concatenate(each), weights=np.repeat(weights, (16, 32)))
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_weights_of_one_each_change_nothing(make_experiment, sources):
    losses = []
    for weights in ((), (1.0, 1.0, 1.0)):
        setup = Setup(make_experiment("melt", method=Melt(weights=weights)), sources)
        _, metrics = setup.step(setup.state, next(setup.feed(0, 1)).batch)
        losses.append(float(metrics["loss"]))
    assert losses[0] == losses[1]


def test_targets_beside_an_encoder_of_another_width(make_experiment, sources):
    """A modality that meets location embeddings as they are may stand beside one that does not."""
    series = Modality("series", "memory", "sample", "target")
    text = Modality("text", "memory", "sample", "text", width=8, depth=1)
    melt = Melt(quotas=(16, 32), negatives="within")
    experiment = dataclasses.replace(
        make_experiment("melt"), method=melt, modalities=(series, text)
    )
    setup = Setup(experiment, sources)
    batch = next(setup.feed(0, 1)).batch
    pairs = [by_hand(setup, "series", batch), map(np.asarray, setup.encode("text", batch))]
    _, metrics = setup.step(setup.state, batch)
    expected = np.concatenate([nt_xent(*pair) for pair in pairs]).mean()
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_only_the_location_encoder_and_the_heads_train(setup):
    melt = setup(loss=Regression(), logit_scale=LogitScale(0.2, learnable=False))
    batch = next(melt.feed(0, 1)).batch
    before = jax.device_get(melt.state.params)
    assert before["modality:series"]["Dense_0"]["kernel"].shape == (8, 12)
    state, _ = melt.step(melt.state, batch)
    moved = {
        tower
        for tower, values in jax.device_get(state.params).items()
        if not all(map(np.array_equal, jax.tree.leaves(values), jax.tree.leaves(before[tower])))
    }
    assert moved == {"location", "modality:series", "modality:bytes"}


@pytest.mark.parametrize("loss", [NtXent(), Regression()])
def test_eight_devices_take_the_step_of_one(loss, make_experiment, sources):
    modalities = tuple(Modality(n, "memory", "sample", "target") for n in ("series", "text"))
    experiment = dataclasses.replace(
        make_experiment("melt"),
        method=Melt(quotas=(16, 32), negatives="within", weights=(1.0, 0.5)),
        modalities=modalities,
        loss=loss,
    )
    one, metrics_one, _ = gradients_of_a_step(experiment, sources, jax.devices()[:1])
    eight, metrics_eight, _ = gradients_of_a_step(experiment, sources, jax.devices())
    assert metrics_one["loss"] == pytest.approx(metrics_eight["loss"], rel=1e-5)
    for tower, gradients in one.items():
        largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(gradients))
        for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(eight[tower]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(largest, 1e-6))


def test_faults(setup, make_experiment):
    with pytest.raises(ConfigError, match=r"negatives = 'joint': expected 'within' with .*series"):
        setup(method=Melt())
    target = Modality("series", "memory", "sample", "target")
    projected = dataclasses.replace(target, encoder="projection")
    pair = make_experiment("pair")
    with pytest.raises(ConfigError, match=r"encoder = \['projection'\]: expected 'target' alone"):
        dataclasses.replace(pair, modalities=(projected,), loss=Regression())
    with pytest.raises(ConfigError, match=r"direction = 'symmetric': .* with loss Regression"):
        dataclasses.replace(pair, modalities=(target,), loss=Regression(), method=Pair("symmetric"))
    with pytest.raises(ConfigError, match=r"weights = \(1\.0,\): expected 3 weights"):
        make_experiment("melt", method=Melt(weights=(1.0,)))
    with pytest.raises(ConfigError, match=r"weights = \(0\.0,\): expected positive numbers"):
        Melt(weights=(0.0,))
