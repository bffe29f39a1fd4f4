import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earth_embed.coordinates import block_of
from earth_embed.errors import DataError
from earth_embed.evaluation.splits import (
    block_folds,
    block_split,
    inner_split,
    limit_labels,
    random_split,
)

from .worlds import places

seeds = st.integers(0, 1000)


def is_partition(parts, rows):
    return np.array_equal(np.sort(np.concatenate(parts)), np.sort(rows))


@given(count=st.integers(2, 300), seed=seeds, fraction=st.floats(0.05, 0.5))
def test_random_split_partitions_the_places(count, seed, fraction):
    split = random_split(count, seed, fraction)
    assert is_partition((split.train, split.test), np.arange(count))
    assert len(split.test) == np.ceil(fraction * count)


@given(count=st.integers(20, 300), seed=seeds, degrees=st.sampled_from([5.0, 10.0, 45.0]))
def test_block_split_shares_no_block_and_holds_out_enough(count, seed, degrees):
    lonlat = places(count, seed)
    block = block_of(lonlat, degrees)
    split = block_split(lonlat, seed, degrees, 0.2)
    assert is_partition((split.train, split.test), np.arange(count))
    assert not set(block[split.train]) & set(block[split.test])
    held, largest = len(split.test), np.unique(block, return_counts=True)[1].max()
    assert 0.2 * count <= held < 0.2 * count + largest


@given(seed=seeds, folds=st.integers(2, 6))
def test_block_folds_test_every_place_once_without_its_block(seed, folds):
    lonlat = places(200, seed)
    block = block_of(lonlat, 30.0)
    splits = block_folds(lonlat, seed, 30.0, folds)
    assert len(splits) <= folds
    assert is_partition([split.test for split in splits], np.arange(200))
    for split in splits:
        assert not set(block[split.train]) & set(block[split.test])


@pytest.mark.parametrize("kind", ["random", "block"])
def test_inner_split_partitions_the_training_rows_as_the_outer_split_does(kind):
    lonlat = places(500)
    train = np.flatnonzero(np.arange(500) % 3)
    inner = inner_split(kind, lonlat, train, 0, 30.0, 0.2)
    assert is_partition((inner.train, inner.test), train)
    block = block_of(lonlat, 30.0)
    shared = set(block[inner.train]) & set(block[inner.test])
    assert bool(shared) == (kind == "random")


def test_splits_depend_on_the_seed_alone():
    lonlat = places(300)
    for draw in (lambda s: random_split(300, s), lambda s: block_split(lonlat, s)):
        assert np.array_equal(draw(3).test, draw(3).test)
        assert not np.array_equal(np.sort(draw(3).test), np.sort(draw(4).test))


@given(seed=seeds)
def test_fewer_labels_are_a_subset_of_more(seed):
    train = np.flatnonzero(np.arange(12_500) % 5)
    nested = [limit_labels(train, count, seed) for count in (243, 1000, 10_000, None)]
    assert [len(rows) for rows in nested] == [243, 1000, 10_000, 10_000]
    for fewer, more in itertools.pairwise(nested):
        assert set(fewer) <= set(more)
    assert np.array_equal(nested[-1], train)


def test_one_block_cannot_be_split():
    lonlat = np.full((50, 2), 5.0)
    with pytest.raises(DataError, match="1 10° block"):
        block_split(lonlat, 0)
