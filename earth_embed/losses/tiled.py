"""Contrastive losses without the matrix: tiles of it, one at a time, each computed and forgotten.

The values take one pass over the tiles, the gradient a second; see `rule.py` for what a loss does
with a tile. Memory grows with the batch, no longer with its square, and the
numbers are those of the whole matrix up to rounding.

A scan left to automatic differentiation keeps every tile, which is worse than the matrix. One that
is rematerialised keeps few, but passes through the online reduction once more, backwards.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from earth_embed.config.objective import Exchange
from earth_embed.losses.pairs import Contrast, Filled, Rule, Side, normalise, product, unit_vectors


def tiled(
    batch: Filled,
    rule: Rule[Any],
    tile: int,
    axes: tuple[str, ...] | None = None,
    exchange: Exchange = "gather",
) -> Contrast:
    """A contrastive loss by tiles.

    Args:
        batch: The batch, or inside `shard_map` this device's part of it.
        rule: The loss.
        tile: Most rows and columns of a tile (rounded up to a multiple of 8).
        axes: The mesh axes that share the batch. None: all of it is here.
        exchange: How the devices along `axes` see each other's candidates.
    """
    size = len(batch.anchors)
    count = -(-size // tile)
    tile = -(-size // (8 * count)) * 8  # tiles of one size with little padding

    def tiles(values: jax.Array, fill: int = 0) -> jax.Array:
        widths = ((0, count * tile - size), *((0, 0) for _ in values.shape[1:]))
        return jnp.pad(values, widths, constant_values=fill).reshape(count, tile, *values.shape[1:])

    first = 0 if axes is None else jax.lax.axis_index(axes) * count * tile
    side = Side(
        number=first + jnp.arange(count * tile, dtype=jnp.int32).reshape(count, tile),
        group=tiles(batch.group, -1),
        point=unit_vectors(tiles(batch.lonlat)),
    )
    embedded = tuple(map(tiles, (batch.anchors, batch.candidates, batch.scale, batch.bias)))
    results = _reduce(rule, axes, exchange, embedded, side)
    total, own, rivals = (values.reshape(-1)[:size] for values in results)
    return Contrast(rule.finish(total, own), (rivals == 0).astype(jnp.float32))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _reduce(
    rule: Rule[Any], axes: tuple[str, ...] | None, exchange: Exchange, embedded: Any, side: Side
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """All that a loss needs of the matrix: totals, own logits, rivals that reach the own logit.

    All in tiles, (n, T, …). `embedded` are raw anchors, raw candidates, scales and biases; the
    results are differentiable in them.
    """
    return _forward(rule, axes, exchange, embedded, side)[0]


def _forward(
    rule: Rule[Any], axes: tuple[str, ...] | None, exchange: Exchange, embedded: Any, side: Side
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Any]:
    *raw, b = embedded
    # By tiles, as all that follows: at once, XLA makes (B, D) arrays of the norms and scales.
    a, c = jax.lax.map(lambda tile: _unit(*tile), tuple(raw))
    # From a tile's product, as the logits it is compared with: a tie must not be rounded away.
    own = jax.lax.map(lambda t: jnp.diagonal(_logits(*t)), (a, c, b, side, side))

    def visit(r: jax.Array, k: jax.Array, state: Any, columns: Any, _: None) -> tuple[Any, None]:
        (there, c_k), (here, (stats, rivals)) = _at(columns, k), _at((side, state), r)
        x = _logits(a[r], c_k, b[r], here, there)  # (T, T)
        others = here.number[:, None] != there.number[None, :]
        rivals = rivals + ((x >= own[r][:, None]) & others).sum(axis=1, dtype=jnp.int32)
        row = rule.fold(stats, x, here, there), rivals
        return jax.tree.map(lambda rows, new: rows.at[r].set(new), state, row), None

    state = rule.start(jnp.zeros_like(own)), jnp.zeros_like(side.number)
    (stats, rivals), _ = _visit_all(axes, exchange, visit, state, (side, c), None)
    return (rule.total(stats), own, rivals), (embedded, side, a, c, stats)


def _backward(
    rule: Rule[Any], axes: tuple[str, ...] | None, exchange: Exchange, kept: Any, cotangents: Any
) -> tuple[tuple[jax.Array, ...], None]:
    (*raw, b), side, a, c, stats = kept
    d_total, d_own, _ = cotangents  # (n, T)

    def visit(r: jax.Array, k: jax.Array, state: Any, columns: Any, dc: Any) -> tuple[Any, Any]:
        (there, c_k), (here, stats_r) = _at(columns, k), _at((side, stats), r)
        x = _logits(a[r], c_k, b[r], here, there)
        dx = d_total[r][:, None] * rule.slope(stats_r, x, here, there)  # (T, T)
        da, db = state
        state = da.at[r].add(product(dx, c_k)), db.at[r].add(dx.sum(axis=1))
        return state, dc.at[k].add(product(dx.T, a[r]))

    state, zeros = (jnp.zeros_like(a), d_own), jnp.zeros_like(c)
    (da, db), dc = _visit_all(axes, exchange, visit, state, (side, c), zeros)

    def through_unit(r: jax.Array, gradients: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """Adds the own logits' part and makes one tile's gradients those of `raw`, in place."""
        da, dc, _ = gradients
        g = d_own[r][:, None]
        _, back = jax.vjp(_unit, *_at(raw, r))
        new = back((da[r] + g * c[r], dc[r] + g * a[r]))
        return tuple(rows.at[r].set(row) for rows, row in zip(gradients, new, strict=True))

    gradients = jax.lax.fori_loop(0, len(a), through_unit, (da, dc, jnp.zeros_like(db)))
    return (*gradients, db), None


_reduce.defvjp(_forward, _backward)


def _visit_all(
    axes: tuple[str, ...] | None,
    exchange: Exchange,
    visit: Any,
    state: Any,
    columns: Any,
    d_columns: Any,
) -> tuple[Any, Any]:
    """Visits every tile with `visit(row, column, state, columns, d_columns)`.

    Args:
        axes: As in `tiled`.
        exchange: As in `tiled`.
        visit: Returns state and d_columns anew.
        state: What belongs to the rows, (n, T, …).
        columns: What belongs to this device's columns and is read, (n, T, …).
        d_columns: What belongs to the columns and is written.

    Returns:
        state and d_columns in the end, every device's own again.
    """
    rows = len(jax.tree.leaves(state)[0])

    def here(state: Any, columns: Any, d_columns: Any) -> tuple[Any, Any]:
        count = len(jax.tree.leaves(columns)[0])
        # One loop whose carry is updated in place: nested scans would hold a second copy.
        return jax.lax.fori_loop(
            0,
            rows * count,
            lambda i, carry: visit(i // count, i % count, carry[0], columns, carry[1]),
            (state, d_columns),
        )

    if axes is None:
        return here(state, columns, d_columns)
    devices = jax.lax.axis_size(axes)
    if exchange == "gather":
        columns = jax.lax.all_gather(columns, axes, tiled=True)
        everywhere = jax.tree.map(lambda d: jnp.tile(d, (devices, 1, 1)), d_columns)
        state, everywhere = here(state, columns, everywhere)
        return state, jax.lax.psum_scatter(everywhere, axes, tiled=True)
    onward = [(i, (i + 1) % devices) for i in range(devices)]

    def hop(carry: Any, _: None) -> tuple[Any, None]:
        state, columns, d_columns = carry
        state, d_columns = here(state, columns, d_columns)
        return (state, *jax.lax.ppermute((columns, d_columns), axes, onward)), None

    (state, _, d_columns), _ = jax.lax.scan(hop, (state, columns, d_columns), length=devices)
    return state, d_columns


def _unit(
    anchors: jax.Array, candidates: jax.Array, scale: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """s·z and e of one tile, (T, D) each."""
    return scale[:, None] * normalise(anchors), normalise(candidates)


def _logits(a: jax.Array, c: jax.Array, b: jax.Array, rows: Side, columns: Side) -> jax.Array:
    """One tile: x_ij = aᵢ·cⱼ + bᵢ, −∞ between groups. Padding is a group of its own."""
    same = rows.group[:, None] == columns.group[None, :]
    return jnp.where(same, product(a, c.T) + b[:, None], -jnp.inf)


def _at(values: Any, i: jax.Array) -> Any:
    return jax.tree.map(lambda value: value[i], values)


def sharded(batch: Filled, rule: Rule[Any], tile: int, exchange: Exchange, mesh: Mesh) -> Contrast:
    """A tiled loss of a batch that is split over all axes of the mesh; see `tiled`."""
    axes = mesh.axis_names
    compare = partial(tiled, rule=rule, tile=tile, axes=axes, exchange=exchange)
    rows = PartitionSpec(axes)
    return jax.shard_map(compare, mesh=mesh, in_specs=rows, out_specs=rows)(batch)
