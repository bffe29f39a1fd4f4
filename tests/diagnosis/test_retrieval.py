"""Ranks against a sorted list, near places against all distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.diagnosis.geometry import nearest_place, retrieval
from tests.conftest import random_places


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 20))
def test_ranks_are_those_of_a_sorted_list(seed, count, queries):
    rng = np.random.default_rng(seed)
    q, c = rng.normal(size=(queries, 5)), rng.normal(size=(count, 5))
    targets = rng.integers(count, size=queries)
    found = retrieval(q, c, targets, (1, 3, count))
    similar = (q @ c.T) / np.linalg.norm(c, axis=1)
    ranks = [list(np.argsort(-row)).index(t) for row, t in zip(similar, targets, strict=True)]
    assert found == {k: np.mean(np.array(ranks) < k) for k in (1, 3, count)}
    assert found[count] == 1


def test_a_tie_is_no_credit():
    same = np.ones((4, 3))
    assert retrieval(same, same, np.arange(4), (1, 3, 4)) == {1: 0, 3: 0, 4: 1}


def test_the_nearest_place_is_that_of_all_distances_also_over_the_antimeridian():
    rng = np.random.default_rng(0)
    queries, candidates = random_places(rng, 50), random_places(rng, 80)
    rows, km = nearest_place(queries, candidates)
    angles = np.arccos(np.clip(unit_vector(queries) @ unit_vector(candidates).T, -1, 1))
    np.testing.assert_array_equal(rows, angles.argmin(axis=1))
    assert km == pytest.approx(EARTH_RADIUS_KM * np.median(angles.min(axis=1)), rel=1e-6)
    rows, km = nearest_place(np.array([[179.9, 10.0]]), np.array([[170.0, 10.0], [-179.9, 10.0]]))
    assert rows == [1]
    assert km < 25
