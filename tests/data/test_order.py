import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earth_embed.data.order import batch_indices
from earth_embed.errors import DataError
from earth_embed.hashing import epoch_permutation, hash_string, mix64


@given(st.integers(1, 500), st.integers(0, 2**31 - 1), st.integers(0, 50))
def test_epochs_are_permutations(count, seed, epoch):
    assert sorted(epoch_permutation(count, seed, epoch)) == list(range(count))


@given(
    count=st.integers(12, 200),
    batch=st.sampled_from([4, 8, 12]),
    seed=st.integers(0, 99),
    step=st.integers(0, 500),
    processes=st.sampled_from([1, 2, 4]),
)
def test_batches_do_not_repeat_and_processes_share_them(count, batch, seed, step, processes):
    whole = batch_indices(count, batch, seed, step)
    assert len(set(whole.tolist())) == batch
    parts = [batch_indices(count, batch, seed, step, p, processes) for p in range(processes)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(count=st.integers(8, 100), batch=st.sampled_from([2, 4, 8]), epoch=st.integers(0, 5))
def test_an_epochs_batches_are_disjoint_and_leave_out_only_the_tail(count, batch, epoch):
    steps = count // batch
    seen = np.concatenate([batch_indices(count, batch, 1, epoch * steps + s) for s in range(steps)])
    assert len(set(seen.tolist())) == steps * batch > count - batch


def test_epochs_and_seeds_differ_and_every_example_is_seen_in_time():
    assert not np.array_equal(epoch_permutation(100, 0, 0), epoch_permutation(100, 0, 1))
    assert not np.array_equal(epoch_permutation(100, 0, 0), epoch_permutation(100, 1, 0))
    seen = {i for step in range(60) for i in batch_indices(10, 6, 0, step).tolist()}
    assert seen == set(range(10))


def test_splitmix_known_values():
    """The first outputs of SplitMix64 seeded with 0 (Vigna's reference implementation)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    states = np.arange(3, dtype=np.uint64) * golden
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mix64(states).tolist() == expected


def test_hash_string_tells_strings_apart():
    names = ["a", "b", "ab", "ba", "", "image", "text"]
    assert len({hash_string(name) for name in names}) == len(names)


def test_errors():
    with pytest.raises(DataError, match="5 examples are fewer than one batch of 6"):
        batch_indices(5, 6, 0, 0)
    with pytest.raises(DataError, match="a batch of 6 cannot be shared by 4 processes"):
        batch_indices(50, 6, 0, 0, 0, 4)
