"""Gradients of modalities that agree, that differ, and their length by a difference quotient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from earth_embed.config import Melt
from earth_embed.diagnosis.limits import conflict
from earth_embed.losses.nt_xent import nt_xent
from earth_embed.losses.pairs import Pairs
from earth_embed.step.towers import LOCATION, Towers
from tests.conftest import random_places
from tests.training.runs import SMALL

EXPERIMENT = dataclasses.replace(
    SMALL,
    method=Melt(),
    modalities=tuple(
        dataclasses.replace(SMALL.modalities[0], name=name, encoder="projection")
        for name in ("a", "b")
    ),
)


def examples(seed, count=24):
    rng = np.random.default_rng(seed)
    return {
        "sample": rng.normal(size=(count, 6)).astype(np.float32),
        "lonlat": random_places(rng, count).astype(np.float32),
    }


@pytest.fixture(scope="module")
def towers():
    return Towers(EXPERIMENT)


@pytest.fixture(scope="module")
def params(towers):
    params = towers.init({name: examples(0)["sample"] for name in "ab"})
    return params | {"modality:b": params["modality:a"]}


def test_the_same_examples_pull_the_same_way(towers, params):
    same = conflict(towers, params, [{"a": examples(0), "b": examples(0)}])
    assert same.names == ("a", "b")
    np.testing.assert_allclose(same.cosines, 1, rtol=1e-5)
    assert same.norms[0] == pytest.approx(same.norms[1], rel=1e-6)


def test_length_and_angle_are_those_of_the_losses_slope(towers, params):
    """The slope of b's loss along a's gradient is |g_b| cos(a, b)."""
    batch = {"a": examples(0), "b": examples(1)}
    found = conflict(towers, params, [batch])
    np.testing.assert_allclose(np.diag(found.cosines), 1, rtol=1e-5)
    assert found.cosines[0][1] == found.cosines[1][0] < 0.9
    flat, unravel = ravel_pytree(params[LOCATION])

    @jax.jit
    def losses(flat):
        moved = params | {LOCATION: unravel(flat)}
        return jnp.stack([loss(towers, moved, name, batch[name]) for name in "ab"])

    along = jax.grad(lambda flat: losses(flat)[0])(flat)
    step = 1e-3 * along / jnp.linalg.norm(along)
    slopes = (losses(flat + step) - losses(flat - step)) / 2e-3
    expected = [found.norms[0], found.norms[1] * found.cosines[0][1]]
    np.testing.assert_allclose(slopes, expected, rtol=0.02)


def loss(towers, params, name, examples):
    samples = towers.encode_sample(params, name, examples["sample"])
    locations = towers.encode_location(params, jnp.asarray(examples["lonlat"]))
    return nt_xent(Pairs(samples, locations, towers.logit_scale(params, name))).loss.mean()


def test_batches_are_averaged(towers, params):
    one, two = ({"a": examples(i), "b": examples(i + 1)} for i in (0, 5))
    found = [conflict(towers, params, batches) for batches in ([one], [two], [one, two])]
    for field in ("cosines", "norms"):
        first, second, both = (np.array(getattr(each, field)) for each in found)
        np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-6)
