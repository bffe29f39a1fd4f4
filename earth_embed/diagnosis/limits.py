"""What limits the loss: an oracle without location encoder, and conflicts between gradients.

The oracle replaces the location encoder with a free embedding for each place, trained against the
same samples through the same frozen modality tower. No location encoder can do better: the loss
that remains comes from samples that cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """Asymmetric NT-Xent of one batch."""

    loss: float
    """With the location encoder's embeddings."""
    floor: float
    """With the oracle's."""

    @property
    def encoder_share(self) -> float:
        """Share of the loss that a better location encoder could remove: 1 − floor/loss."""
        return 1 - self.floor / self.loss if self.loss > 0 else 0.0


def oracle(
    samples: np.ndarray, locations: np.ndarray, scale: float, steps: int, rate: float
) -> Floor:
    """Trains a free embedding for each location, starting from the encoder's own.

    Args:
        samples: (N, D), encoded by the frozen modality tower.
        locations: (N, D), encoded by the location encoder.
        scale: Logit scale 1/τ, also frozen.
        steps: Steps of Adam, each on all N pairs.
        rate: Initial learning rate; cosine decay to 0.

    Returns:
        The encoder's loss, and the lowest loss that the oracle reached (at most the encoder's).
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))
    anchors, logit_scale = jnp.asarray(samples), jnp.float32(scale)

    def objective(free: jax.Array) -> jax.Array:
        return nt_xent(Pairs(anchors, free, logit_scale)).loss.mean()

    def step(carry: tuple[jax.Array, optax.OptState], _: None) -> tuple[Any, jax.Array]:
        free, moments = carry
        loss, gradient = jax.value_and_grad(objective)(free)
        update, moments = optimizer.update(gradient, moments)
        return (free + update, moments), loss

    @jax.jit
    def train(free: jax.Array) -> tuple[jax.Array, jax.Array]:
        # Optax's step counts as floats: it multiplies them with floats.
        moments = jax.tree.map(jnp.float32, optimizer.init(free))
        (free, _), losses = jax.lax.scan(step, (free, moments), length=steps)
        return losses, objective(free)

    losses, last = jax.device_get(train(normalise(jnp.asarray(locations))))
    return Floor(float(losses[0]), float(min(losses.min(), last)))


@dataclass(frozen=True)
class Conflict:
    """Gradients of each modality's loss in the location encoder's parameters, compared."""

    names: tuple[str, ...]
    """The M modalities."""
    cosines: list[list[float]]
    """(M, M) cosines, averaged over batches; below 0, a step for one undoes the other's."""
    norms: list[float]
    """(M,) lengths of the gradients, averaged over batches."""


def conflict(towers: Towers, params: Params, batches: Sequence[Batch]) -> Conflict:
    """Compares the gradients of each modality's own asymmetric NT-Xent.

    Every batch must have examples of every modality.

    References:
        Yu et al. 2020, "Gradient surgery for multi-task learning" (arXiv 2001.06782): gradients of
        negative cosine conflict.
    """

    def loss(location: Params, name: str, examples: Batch) -> jax.Array:
        every = params | {LOCATION: location}
        pairs = towers.encode_pairs(every, name, examples)
        return nt_xent(Pairs(*pairs, towers.logit_scale(every, name))).loss.mean()

    def flat_gradient(name: str, examples: Batch) -> jax.Array:
        gradient = jax.grad(loss)(params[LOCATION], name, examples)
        moving = [g for path, g in tree_leaves_with_path(gradient) if not is_frozen(path)]
        return jnp.concatenate([g.ravel() for g in moving])

    @jax.jit
    def compare(batch: Batch) -> tuple[jax.Array, jax.Array]:
        gradients = jnp.stack([flat_gradient(name, batch[name]) for name in towers.names])
        norms = jnp.linalg.norm(gradients, axis=1)
        directions = gradients / jnp.maximum(norms, 1e-30)[:, None]
        return directions @ directions.T, norms

    cosines, norms = zip(*(jax.device_get(compare(batch)) for batch in batches), strict=True)
    return Conflict(
        towers.names,
        np.asarray(np.mean(cosines, axis=0, dtype=np.float64)).tolist(),
        np.asarray(np.mean(norms, axis=0, dtype=np.float64)).tolist(),
    )
