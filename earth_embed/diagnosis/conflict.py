"""Whether the modalities pull the shared location encoder the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_leaves_with_path

from earth_embed.encoders.positional.base import is_frozen
from earth_embed.encoders.towers import LOCATION, Params, Towers
from earth_embed.losses.nt_xent import nt_xent
from earth_embed.losses.pairs import Pairs
from earth_embed.step.state import Batch


class Conflict(NamedTuple):
    """Gradients of each modality's loss in the location encoder's parameters, compared."""

    names: tuple[str, ...]
    """The modalities."""
    cosines: list[list[float]]
    """Mean cosine of each pair over the batches; below 0 a step for one undoes the other's."""
    norms: list[float]
    """Mean length of each modality's gradient."""


def conflict(towers: Towers, params: Params, batches: Sequence[Batch]) -> Conflict:
    """Compares the gradients of each modality's own asymmetric NT-Xent.

    Args:
        towers: The run's towers.
        params: Their parameters.
        batches: One batch of every modality each.

    References:
        Yu et al. 2020, "Gradient surgery for multi-task learning" (arXiv 2001.06782): gradients of
        negative cosine conflict.
    """

    def loss(location: Params, name: str, examples: Batch) -> jax.Array:
        every = params | {LOCATION: location}
        pairs = towers.encode_pairs(every, name, examples)
        return nt_xent(Pairs(*pairs, towers.logit_scale(every, name))).loss.mean()

    @jax.jit
    def compare(batch: Batch) -> tuple[jax.Array, jax.Array]:
        gradients = jnp.stack([flat(params[LOCATION], name, batch[name]) for name in towers.names])
        norms = jnp.linalg.norm(gradients, axis=1)
        directions = gradients / jnp.maximum(norms, 1e-30)[:, None]
        return directions @ directions.T, norms

    def flat(location: Params, name: str, examples: Batch) -> jax.Array:
        gradient = jax.grad(loss)(location, name, examples)
        moving = [g for path, g in tree_leaves_with_path(gradient) if not is_frozen(path)]
        return jnp.concatenate([g.ravel() for g in moving])

    cosines, norms = zip(*(jax.device_get(compare(batch)) for batch in batches), strict=True)
    return Conflict(
        towers.names,
        np.asarray(np.mean(cosines, axis=0, dtype=np.float64)).tolist(),
        np.asarray(np.mean(norms, axis=0, dtype=np.float64)).tolist(),
    )
