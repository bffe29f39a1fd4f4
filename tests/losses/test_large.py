"""Large batches: equality at 4,096, memory as compiled at 131,072."""

import pytest

from earth_embed.config import Memory, NtXent
from earth_embed.losses.build import build_loss
from tests.losses.batches import (
    LOSSES,
    assert_same,
    compiled_bytes,
    make_batch,
    value_and_gradients,
    whole,
)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_at_4096(loss):
    pairs = make_batch(4096, dim=16)
    compare = build_loss(loss, "sample_to_location", Memory(tile=1024))
    assert_same(value_and_gradients(compare, pairs), whole(loss, "sample_to_location", pairs))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_131072_pairs_fit_into_1200_megabytes(loss):
    """With nothing asked for, arguments and results included; the matrix would be 69 gigabytes."""
    assert compiled_bytes(build_loss(loss, "sample_to_location", Memory()), 131_072) < 1.2e9


def test_both_directions_fit_too():
    assert compiled_bytes(build_loss(NtXent(), "symmetric", Memory()), 131_072) < 1.5e9


def test_it_grows_with_the_batch_and_not_with_its_square():
    compare = build_loss(NtXent(), "sample_to_location", Memory(tile=256))
    small, large = (compiled_bytes(compare, size, dim=32) for size in (8_192, 65_536))
    assert large < 9 * small
