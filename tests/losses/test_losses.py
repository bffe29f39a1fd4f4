"""The losses against their formulas in float64, and what must hold of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earth_embed.config import GeodesicNtXent, NtXent, Sigmoid
from earth_embed.losses.build import forms
from earth_embed.losses.geodesic import great_circle_km
from earth_embed.losses.pairs import Pairs, unit_vectors
from tests.conftest import random_places
from tests.losses.batches import LOSSES, haversine_km, make_batch, reference


def dense(loss, pairs):
    """The plain form, compiled."""
    return jax.jit(forms(loss)[0])(jax.tree.map(jnp.asarray, pairs))


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_equals_the_formula(loss, groups):
    for seed in range(3):
        pairs = make_batch(24, seed=seed, groups=groups)
        np.testing.assert_allclose(
            dense(loss, pairs).loss, reference(loss, pairs), rtol=2e-5, atol=2e-5
        )


def test_the_sigmoid_loss_of_separated_pairs_is_small_and_of_the_start_is_the_bias():
    """At b = −10 no negative costs anything, and every positive costs 10 less its logit."""
    pairs = Pairs(jnp.eye(6), jnp.eye(6), jnp.float32(20), jnp.float32(-10))
    np.testing.assert_allclose(dense(Sigmoid(), pairs).loss, 6 * np.log1p(np.exp(-10)), rtol=1e-4)
    nothing = pairs._replace(logit_scale=jnp.float32(0))
    np.testing.assert_allclose(
        dense(Sigmoid(), nothing).loss, 10 + 6 * np.log1p(np.exp(-10)), rtol=1e-6
    )


@pytest.mark.parametrize("weighting", ["soft_targets", "semivariogram"])
def test_no_bandwidth_is_nt_xent(weighting):
    pairs = make_batch(24)
    pairs = pairs._replace(lonlat=pairs.lonlat + np.arange(48, dtype=np.float32).reshape(24, 2) / 9)
    ours = dense(GeodesicNtXent(1e-3, weighting), pairs)
    np.testing.assert_allclose(ours.loss, dense(NtXent(), pairs).loss, rtol=1e-5, atol=2e-6)
    wide = dense(GeodesicNtXent(500.0, weighting), pairs)
    assert not np.allclose(wide.loss, ours.loss, rtol=1e-2)


def test_one_place_shares_the_target_or_has_no_negatives():
    """Every sample at one place: nothing to tell apart, so nothing to learn from it."""
    pairs = make_batch(16)
    pairs = pairs._replace(lonlat=np.full((16, 2), 45, np.float32))
    np.testing.assert_allclose(
        dense(GeodesicNtXent(1.0, "semivariogram"), pairs).loss, 0, atol=1e-6
    )
    alike = pairs._replace(candidates=np.ones_like(pairs.candidates))
    # The cross-entropy against equal shares is least where the candidates are equally likely.
    least = dense(GeodesicNtXent(1.0), alike).loss
    np.testing.assert_allclose(least, np.log(16), rtol=1e-6)
    assert (dense(GeodesicNtXent(1.0), pairs).loss >= least - 1e-5).all()


@given(st.integers(0, 10_000), st.sampled_from([1e-4, 1e-2, 1.0, 30.0]))
@settings(max_examples=25)
def test_great_circle_distances_are_right_to_metres(seed, spread):
    rng = np.random.default_rng(seed)
    places = random_places(rng, 40)
    others = places + spread * rng.normal(size=places.shape)
    others[:, 1] = np.clip(others[:, 1], -90, 90)
    places, others = places.astype(np.float32), others.astype(np.float32)
    ours = np.asarray(DISTANCES(places, others))
    exact = np.stack([haversine_km(p, others.astype(float)) for p in places.astype(float)])
    near = exact < 15_000  # asin is ill-conditioned at the antipode
    np.testing.assert_allclose(ours[near], exact[near], rtol=3e-6, atol=3e-3)
    np.testing.assert_array_equal(np.diagonal(DISTANCES(places, places)), 0)


DISTANCES = jax.jit(lambda a, b: great_circle_km(unit_vectors(a), unit_vectors(b)))


def test_the_antipode_is_half_way_round():
    (distance,) = DISTANCES(np.float32([[0, 0]]), np.float32([[180, 0]]))
    np.testing.assert_allclose(distance, 20_015.1, atol=5)
