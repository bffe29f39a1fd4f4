"""Shapes whose dimension, rank and spread are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import special_ortho_group

from earth_embed.diagnosis.geometry import (
    alignment,
    effective_rank,
    intrinsic_dimension,
    uniformity,
)
from earth_embed.errors import DataError

DIM = 12


def cloud(seed, count=40, dim=DIM):
    return np.random.default_rng(seed).normal(size=(count, dim))


def test_alignment_is_a_squared_distance_on_the_sphere():
    z, e = cloud(0), cloud(1)
    assert alignment(z, 3 * z) == pytest.approx(0)
    assert alignment(z, -z) == pytest.approx(4)
    cosines = (z * e).sum(1) / np.linalg.norm(z, axis=1) / np.linalg.norm(e, axis=1)
    assert alignment(z, e) == pytest.approx(2 - 2 * cosines.mean())


def test_uniformity_of_a_point_of_a_basis_and_of_an_even_spread():
    assert uniformity(np.tile(cloud(0, 1), (5, 1))) == pytest.approx(0)
    assert uniformity(np.eye(DIM)) == pytest.approx(-4)
    assert uniformity(cloud(0, 1000, 256)) == pytest.approx(-4 + 8 / 256, abs=0.01)


@pytest.mark.parametrize("rank", [1, 3, DIM])
def test_effective_rank_counts_equal_directions(rank):
    axes = np.eye(DIM)[:rank]
    assert effective_rank(np.concatenate([axes, -axes])) == pytest.approx(rank)


def test_one_point_has_no_rank():
    assert effective_rank(np.full((5, DIM), 0.1)) == 0


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_turned_moved_and_scaled_they_stay_the_same(seed, scale):
    x = cloud(seed)
    turn = special_ortho_group.rvs(DIM, random_state=seed)
    moved = scale * (x @ turn.T) + cloud(seed + 1, 1)
    assert effective_rank(moved) == pytest.approx(effective_rank(x), rel=1e-6)
    assert intrinsic_dimension(moved) == pytest.approx(intrinsic_dimension(x), rel=1e-6)
    assert uniformity(scale * (x @ turn.T)) == pytest.approx(uniformity(x))


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_intrinsic_dimension_is_that_of_the_surface_not_of_the_space(dimension):
    inside = np.random.default_rng(dimension).uniform(size=(3000, dimension))
    bent = np.concatenate([inside, np.sin(3 * inside), inside**2], axis=1)
    assert intrinsic_dimension(bent) == pytest.approx(dimension, rel=0.1)
    assert intrinsic_dimension(np.repeat(bent, 2, axis=0)) == intrinsic_dimension(bent)


def test_two_points_have_no_dimension():
    with pytest.raises(DataError, match="needs 3 distinct embeddings, found 2"):
        intrinsic_dimension(np.eye(2)[[0, 1, 1, 0]])
