"""Tiles on eight devices against the whole matrix on one: gathered and round a ring."""

import jax
import numpy as np
import pytest

from earth_embed.config import Memory, NtXent
from earth_embed.losses.build import build_loss
from earth_embed.step.mesh import build_mesh
from tests.losses.batches import (
    LOSSES,
    assert_same,
    compiled_bytes,
    make_batch,
    value_and_gradients,
    whole,
)


@pytest.mark.parametrize("exchange", ["gather", "ring"])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_eight_devices_equal_one(loss, exchange):
    """Several tiles a device with padding, groups, a scale and a bias for each row."""
    pairs = make_batch(8 * 12, groups=True)
    memory = Memory(tile=8, exchange=exchange)
    compare = build_loss(loss, "sample_to_location", memory, build_mesh())
    assert_same(value_and_gradients(compare, pairs), whole(loss, "sample_to_location", pairs))


@pytest.mark.parametrize("exchange", ["gather", "ring"])
def test_both_directions_in_a_branch(exchange):
    """SALT's place for a loss: inside `lax.cond`."""
    pairs = make_batch(8 * 12)._replace(logit_scale=np.float32(9), logit_bias=np.float32(0))
    compare = build_loss(NtXent(), "symmetric", Memory(tile=8, exchange=exchange), build_mesh())

    def switched(pairs):
        def other(pairs):
            return compare(pairs._replace(anchors=-pairs.anchors))

        return jax.lax.cond(pairs.logit_bias == 0, compare, other, pairs)

    expected = whole(NtXent(), "symmetric", pairs)
    assert_same(value_and_gradients(switched, pairs), expected)


def test_the_ring_holds_less_of_the_batch_than_gathering():
    def bytes_of(exchange):
        memory = Memory(tile=64, exchange=exchange)
        compare = build_loss(NtXent(), "sample_to_location", memory, build_mesh())
        return compiled_bytes(compare, 8 * 1024, dim=64, mesh=build_mesh())

    assert bytes_of("ring") < 0.7 * bytes_of("gather")
