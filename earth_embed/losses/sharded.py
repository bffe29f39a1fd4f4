"""Tiled losses on a mesh: each device has its own rows of the matrix, and sees all columns.

The loss sits inside `shard_map` and its gradient is taken outside: only then is it that of one
device. (Gradients taken inside and averaged are too large by the number of devices, though every
loss is right.)
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from earth_embed.config.loss import Exchange
from earth_embed.losses.pairs import Contrast
from earth_embed.losses.rule import Filled, Rule
from earth_embed.losses.tiled import tiled


def sharded(batch: Filled, rule: Rule[Any], tile: int, exchange: Exchange, mesh: Mesh) -> Contrast:
    """A tiled loss of a batch that is split over all axes of the mesh; see `tiled`."""
    axes = mesh.axis_names
    compare = partial(tiled, rule=rule, tile=tile, axes=axes, exchange=exchange)
    rows = PartitionSpec(axes)
    return jax.shard_map(compare, mesh=mesh, in_specs=rows, out_specs=rows)(batch)
