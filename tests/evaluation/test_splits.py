import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earth_embed.coordinates import block_of
from earth_embed.errors import DataError
from earth_embed.evaluation.splits import deal, hold_out, inner_split, leave_one_out, limit_labels

from .worlds import places

seeds = st.integers(0, 1000)


def is_partition(parts, rows):
    return np.array_equal(np.sort(np.concatenate(parts)), np.sort(rows))


@given(count=st.integers(2, 300), seed=seeds, fraction=st.floats(0.05, 0.5))
def test_random_split_partitions_the_places(count, seed, fraction):
    rows = 3 * np.arange(count)
    split = hold_out(None, rows, seed, fraction)
    assert is_partition((split.train, split.test), rows)
    assert len(split.test) == np.ceil(fraction * count)


@given(count=st.integers(20, 300), seed=seeds, degrees=st.sampled_from([2.0, 5.0, 10.0, 40.0]))
def test_block_split_shares_no_block_and_holds_out_enough(count, seed, degrees):
    block = block_of(places(count, seed), degrees)
    split = hold_out(block, np.arange(count), seed, 0.2)
    assert is_partition((split.train, split.test), np.arange(count))
    assert not set(block[split.train]) & set(block[split.test])
    held, largest = len(split.test), np.unique(block, return_counts=True)[1].max()
    assert 0.2 * count <= held < 0.2 * count + largest


@given(seed=seeds, folds=st.integers(2, 6), degrees=st.sampled_from([None, 2.0, 10.0, 20.0, 40.0]))
def test_folds_test_every_place_once_without_its_block(seed, folds, degrees):
    block = None if degrees is None else block_of(places(200, seed), degrees)
    rows = 2 * np.arange(100)
    splits = deal(block, rows, seed, folds)
    assert len(splits) <= folds
    assert is_partition([split.test for split in splits], rows)
    for split in splits:
        assert is_partition((split.train, split.test), rows)
        if block is not None:
            assert not set(block[split.train]) & set(block[split.test])
    if block is None:
        sizes = [len(split.test) for split in splits]
        assert len(sizes) == folds
        assert max(sizes) - min(sizes) <= 1


@given(seed=seeds, fewest=st.integers(1, 30))
def test_each_group_that_is_large_enough_is_left_out_once(seed, fewest):
    groups = np.random.default_rng(seed).choice(5, 300, p=[0.4, 0.3, 0.2, 0.08, 0.02])
    sizes = np.bincount(groups)
    splits = leave_one_out(groups, fewest)
    assert set(splits) == set(np.flatnonzero(sizes >= fewest))
    for group, split in splits.items():
        assert np.array_equal(split.test, np.flatnonzero(groups == group))
        assert is_partition((split.train, split.test), np.arange(300))


def test_two_groups_are_too_few_to_leave_one_out():
    with pytest.raises(DataError, match="3 or more groups of 20 places or more, found 2 in 65"):
        leave_one_out(np.repeat([1, 2, 3], [30, 30, 5]), 20)


@pytest.mark.parametrize("kind", ["random", "block"])
def test_inner_split_partitions_the_training_rows_as_the_outer_split_does(kind):
    block = block_of(places(500), 30.0)
    train = np.flatnonzero(np.arange(500) % 3)
    inner = inner_split(None if kind == "random" else block, train, 0, 0.2)
    assert is_partition((inner.train, inner.test), train)
    shared = set(block[inner.train]) & set(block[inner.test])
    assert bool(shared) == (kind == "random")


def test_splits_depend_on_the_seed_alone():
    rows, block = np.arange(300), block_of(places(300), 10.0)
    for groups in (None, block):
        for draw in (hold_out, lambda *args: deal(*args)[0]):
            assert np.array_equal(draw(groups, rows, 3).test, draw(groups, rows, 3).test)
            assert not np.array_equal(draw(groups, rows, 3).test, draw(groups, rows, 4).test)


@given(seed=seeds)
def test_fewer_labels_are_a_subset_of_more(seed):
    train = np.flatnonzero(np.arange(12_500) % 5)
    nested = [limit_labels(train, count, seed) for count in (243, 1000, 10_000, None)]
    assert [len(rows) for rows in nested] == [243, 1000, 10_000, 10_000]
    for fewer, more in itertools.pairwise(nested):
        assert set(fewer) <= set(more)
    assert np.array_equal(nested[-1], train)


def test_one_block_cannot_be_split():
    with pytest.raises(DataError, match=r"1 group\(s\).*smaller blocks"):
        hold_out(np.zeros(50, np.int64), np.arange(50), 0)
