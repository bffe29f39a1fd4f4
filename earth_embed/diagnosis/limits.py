"""How much of the loss the location encoder is to blame for: an oracle that has none.

The oracle gives every place a free embedding and trains those alone, against the same samples in
the same frozen modality towers. No location encoder can do better; what it still loses, the samples
do not tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import tree_leaves_with_path

from earth_embed.encoders.positional.base import is_frozen
from earth_embed.losses.nt_xent import nt_xent
from earth_embed.losses.pairs import Pairs, normalise
from earth_embed.step.state import Batch
from earth_embed.step.towers import LOCATION, Params, Towers


class Floor(NamedTuple):
    """The asymmetric NT-Xent of one batch, by the encoder and by the oracle."""

    loss: float
    """With the location encoder's embeddings."""
    floor: float
    """With the oracle's."""

    @property
    def encoder_share(self) -> float:
        """The share of the loss that a better location encoder could take away: 1 − floor/loss."""
        return 1 - self.floor / self.loss if self.loss > 0 else 0.0


def oracle(
    samples: np.ndarray, locations: np.ndarray, scale: float, steps: int, rate: float
) -> Floor:
    """Trains a free embedding for each location, from the encoder's own on.

    Args:
        samples: (N, D), of the frozen modality tower.
        locations: (N, D), of the location encoder.
        scale: The logit scale 1/τ, frozen too.
        steps: Steps of Adam, each on all N.
        rate: Its learning rate, decayed to 0 by a cosine.

    Returns:
        The encoder's loss, and the lowest that the oracle found: at most the encoder's.
    """
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps))
    anchors, logit_scale = jnp.asarray(samples), jnp.float32(scale)

    def objective(free: jax.Array) -> jax.Array:
        return nt_xent(Pairs(anchors, free, logit_scale)).loss.mean()

    def step(carry: tuple[jax.Array, optax.OptState], _: None) -> tuple[Any, jax.Array]:
        free, moments = carry
        loss, gradient = jax.value_and_grad(objective)(free)
        update, moments = optimiser.update(gradient, moments)
        return (free + update, moments), loss

    @jax.jit
    def train(free: jax.Array) -> tuple[jax.Array, jax.Array]:
        (free, _), losses = jax.lax.scan(step, (free, optimiser.init(free)), length=steps)
        return losses, objective(free)

    with jax.numpy_dtype_promotion("standard"):  # optax mixes int32 counts with floats
        losses, last = jax.device_get(train(normalise(jnp.asarray(locations))))
    return Floor(float(losses[0]), float(min(losses.min(), last)))


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
