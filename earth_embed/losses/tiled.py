"""Contrastive losses that compute the similarity matrix tile by tile and never hold all of it.

One pass over the tiles gives the values, a second one the gradient; `pairs.Rule` says what a loss
does with a tile. Memory grows with the batch instead of its square, and results equal those of the
whole matrix up to rounding.

Automatic differentiation of a scan would keep every tile, which is worse than the matrix. With
rematerialisation it keeps few, but runs the online reduction again, backwards.
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
        tile: Largest side of a tile (rounded up to a multiple of 8).
        axes: The mesh axes that share the batch. None: this device has all of it.
        exchange: How devices along `axes` exchange candidates.
    """
    size = len(batch.anchors)
    count = -(-size // tile)
    tile = -(-size // (8 * count)) * 8  # equal tiles with little padding

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
    """What a loss needs of the matrix: totals, own logits, and counts of rivals x_ij ≥ x_ii.

    All arrays are in tiles, (n, T, …). `embedded` holds anchors and candidates (not normalised),
    scales and biases; the results are differentiable in them.
    """
    return _forward(rule, axes, exchange, embedded, side)[0]


def _forward(
    rule: Rule[Any], axes: tuple[str, ...] | None, exchange: Exchange, embedded: Any, side: Side
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Any]:
    *raw, b = embedded
    # In tiles, like all that follows: XLA would expand norms and scales to (B, D) arrays.
    a, c = jax.lax.map(lambda tile: _unit(*tile), tuple(raw))
    # From a tile's product, like the logits it is compared with, so that ties stay exact.
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
        """Adds the own logits' part, and turns one tile's gradients into those of `raw`."""
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
        visit: Returns the new state and d_columns.
        state: Values of this device's rows, (n, T, …).
        columns: Values of this device's columns that are read, (n, T, …).
        d_columns: Values of this device's columns that are updated, (n, T, …).

    Returns:
        The final state and d_columns of this device's own rows and columns.
    """
    rows = len(jax.tree.leaves(state)[0])

    def here(state: Any, columns: Any, d_columns: Any) -> tuple[Any, Any]:
        count = len(jax.tree.leaves(columns)[0])
        # A single loop, whose carry is updated in place: nested scans would hold a second copy.
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
    """`tiled` for a batch that is sharded over all axes of the mesh."""
    axes = mesh.axis_names
    compare = partial(tiled, rule=rule, tile=tile, axes=axes, exchange=exchange)
    rows = PartitionSpec(axes)
    return jax.shard_map(compare, mesh=mesh, in_specs=rows, out_specs=rows)(batch)
