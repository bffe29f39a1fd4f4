"""Builds the loss of an experiment: on the whole similarity matrix, in tiles, or over devices."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh

from earth_embed.config.objective import (
    Direction,
    GeodesicNtXent,
    Loss,
    Memory,
    NtXent,
    Regression,
    Sigmoid,
)
from earth_embed.losses.geodesic import (
    SemivariogramRule,
    SoftTargetsRule,
    semivariogram,
    soft_targets,
)
from earth_embed.losses.nt_xent import NtXentRule, SigmoidRule, nt_xent, sigmoid
from earth_embed.losses.pairs import Comparison, Contrast, Pairs, Rule, fill, symmetric
from earth_embed.losses.tiled import sharded, tiled

WHOLE = 4096**2
"""Largest number of similarities per device for which the whole matrix is the default."""

TILE = 1024
"""Default side of a tile. Sides of 512 to 2,048 are equally fast on two CPU cores."""


def build_loss(
    loss: Loss, direction: Direction, memory: Memory, mesh: Mesh | None = None
) -> Comparison:
    """The loss as a function of a batch.

    Args:
        loss: The loss's settings.
        direction: Sample → location, or the mean of that and the reverse.
        memory: Tile size, and how devices exchange embeddings.
        mesh: The devices that share the batch. None: each device has all of it.
    """
    if isinstance(loss, Regression):
        return regression(build_loss(NtXent(), direction, memory, mesh))
    dense, rule = forms(loss)
    devices = 1 if mesh is None else mesh.size

    def compare(pairs: Pairs) -> Contrast:
        assert pairs.lonlat is not None or not isinstance(loss, GeodesicNtXent)
        size = len(pairs.anchors)
        tile = memory.tile or (TILE if size * size // devices > WHOLE else size)
        if tile >= size:
            return dense(pairs)
        if mesh is None or devices == 1:
            return tiled(fill(pairs), rule, tile)
        return sharded(fill(pairs), rule, tile, memory.exchange, mesh)

    return symmetric(compare) if direction == "symmetric" else compare


def forms(loss: Loss) -> tuple[Comparison, Rule[Any]]:
    """A loss in its plain form on the whole matrix, and as a rule for tiles."""
    if isinstance(loss, Sigmoid):
        return sigmoid, SigmoidRule()
    if isinstance(loss, GeodesicNtXent):
        km = loss.bandwidth_km
        if loss.weighting == "soft_targets":
            return partial(soft_targets, bandwidth_km=km), SoftTargetsRule(km)
        return partial(semivariogram, range_km=km), SemivariogramRule(km)
    return nt_xent, NtXentRule()


def regression(rank: Comparison) -> Comparison:
    """The squared error of each candidate as a prediction of its anchor.

    ℓ_i = ‖zᵢ − eᵢ‖²        z, e not normalised

    Retrieval is that of the comparison `rank`, whose loss is not used.
    """

    def compare(pairs: Pairs) -> Contrast:
        error = ((pairs.anchors - pairs.candidates) ** 2).sum(axis=-1)
        return Contrast(error, rank(jax.lax.stop_gradient(pairs)).retrieved)

    return compare
