"""Tiles against the whole matrix on one device: values, retrieval, gradients, and the choice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.config import GeodesicNtXent, Memory, NtXent
from earth_embed.losses import build
from earth_embed.losses.build import build_loss
from earth_embed.losses.pairs import Pairs
from earth_embed.step.mesh import build_mesh
from tests.losses.batches import LOSSES, assert_same, make_batch, value_and_gradients, whole


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_tiles_equal_the_matrix(loss, groups):
    """At a size that tiles do not divide, with places, candidates and anchors that repeat."""
    pairs = make_batch(53, groups=groups)
    pairs.candidates[40:] = pairs.candidates[0]
    pairs.anchors[50:] = 0
    ours = value_and_gradients(build_loss(loss, "sample_to_location", Memory(tile=16)), pairs)
    assert_same(ours, whole(loss, "sample_to_location", pairs))
    assert 0 < ours[0].retrieved.mean() < 1
    assert groups or not ours[0].retrieved[40:].any()  # a tie is a miss across tiles


@pytest.mark.parametrize("loss", [NtXent(), GeodesicNtXent(300.0)], ids=str)
def test_both_directions(loss):
    pairs = make_batch(40, seed=1, groups=True)
    ours = value_and_gradients(build_loss(loss, "symmetric", Memory(tile=16)), pairs)
    assert_same(ours, whole(loss, "symmetric", pairs))


def test_places_that_are_all_one_have_no_gradient():
    pairs = make_batch(40)
    pairs.lonlat[:] = 45
    compare = build_loss(GeodesicNtXent(1.0, "semivariogram"), "symmetric", Memory(tile=16))
    contrast, gradients = value_and_gradients(compare, pairs)
    np.testing.assert_array_equal(contrast.loss, 0)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


def test_the_whole_matrix_is_chosen_where_it_is_small(monkeypatch):
    """By the similarities that one device holds; a tile that is asked for decides otherwise."""
    used = []

    def note(name):
        return lambda *_, **__: used.append(name)

    monkeypatch.setattr(build, "forms", lambda _: (note("whole"), None))
    monkeypatch.setattr(build, "tiled", note("tiled"))
    monkeypatch.setattr(build, "sharded", note("sharded"))
    one, eight = build_mesh(devices=jax.devices()[:1]), build_mesh()
    cases = [
        (4096, Memory(), one, "whole"),
        (4104, Memory(), one, "tiled"),
        (4104, Memory(), None, "tiled"),
        (4104, Memory(), eight, "whole"),
        (16384, Memory(), eight, "sharded"),
        (64, Memory(tile=32), one, "tiled"),
        (64, Memory(tile=32), eight, "sharded"),
        (64, Memory(tile=64), eight, "whole"),
        (16384, Memory(tile=16384), one, "whole"),
    ]
    for size, memory, mesh, _ in cases:
        rows = jnp.zeros((size, 1))
        build_loss(NtXent(), "sample_to_location", memory, mesh)(Pairs(rows, rows, jnp.float32(1)))
    assert used == [form for *_, form in cases]
