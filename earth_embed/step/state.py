"""The training state and its update by AdamW, with a separate optimizer for every tower.

Separate optimizers let SALT leave idle towers alone. A single optimizer would see zero gradients
for an idle tower, not absent ones, and momentum and weight decay would still move it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.tree_util import tree_leaves_with_path, tree_map_with_path

from earth_embed.config import Experiment
from earth_embed.encoders.positional.base import is_frozen
from earth_embed.step.towers import Params, Towers

Batch = dict[str, Any]

Metrics = dict[str, jax.Array]

LossFunction = Callable[[Params, Batch, jax.Array], tuple[jax.Array, Metrics]]
"""(parameters of all towers, batch, step) → (loss, metrics)"""


@flax.struct.dataclass
class TrainState:
    """Everything that a step changes and that resuming needs.

    Attributes:
        step: Steps taken, int32 scalar.
        params: Parameters by tower.
        moments: Optimizer state by tower.
    """

    step: jax.Array
    params: Params
    moments: dict[str, Any]


class Updater:
    """Takes the gradient of a loss in the trained towers, and updates only those."""

    def __init__(self, towers: Towers, gather: Callable[[Params], Params] = lambda p: p) -> None:
        """Builds the optimizer, computes nothing. `gather` gathers sharded parameters."""
        settings = towers.experiment.optimizer
        self.towers = towers
        self._gather = gather
        self._transform = optax.chain(
            _scale_by_adam(),
            optax.add_decayed_weights(settings.weight_decay, mask=_matrices),
        )
        self._learning_rate = learning_rate_schedule(towers.experiment)

    def init(self, samples: Any) -> TrainState:
        """The state before the first step; `samples` as in `Towers.init`."""
        params = self.towers.init(samples)
        moments = {tower: self._transform.init(values) for tower, values in params.items()}
        return TrainState(jnp.int32(0), params, moments)

    def __call__(
        self, state: TrainState, batch: Batch, loss: LossFunction, trained: tuple[str, ...]
    ) -> tuple[TrainState, Metrics]:
        """One step of the towers named in `trained`: gradient, AdamW, projection.

        Other towers' parameters and moments pass through bit for bit, and frozen parameters (see
        `is_frozen`) never move. The learning rate follows the run's step, not the tower's own count
        of updates.

        If the loss or the gradient is not finite, only the step count changes. The metrics gain
        "gradient_norm", over all parameters that can move. It is also not finite if the sum of
        squares overflows, from a norm of about 1.8e19 on.
        """

        def objective(active: Params) -> tuple[jax.Array, Metrics]:
            return loss(self._gather(state.params | active), batch, state.step)

        active = {tower: state.params[tower] for tower in trained}
        (value, metrics), gradients = jax.value_and_grad(objective, has_aux=True)(active)
        moving = [g for path, g in tree_leaves_with_path(gradients) if not is_frozen(path)]
        norm = jnp.sqrt(sum(jnp.square(g).sum() for g in moving))
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        rate = self._learning_rate(state.step.astype(jnp.float32))
        params, moments = dict(state.params), dict(state.moments)
        for tower in trained:
            direction, turned = self._transform.update(
                gradients[tower], state.moments[tower], params[tower]
            )
            moved = tree_map_with_path(
                lambda path, p, d: p if is_frozen(path) else p - rate * d, params[tower], direction
            )
            # A select, not a branch: it fuses into the update's own loops.
            params[tower], moments[tower] = jax.tree.map(
                partial(jnp.where, finite),
                (self.towers.project(tower, moved), turned),
                (params[tower], state.moments[tower]),
            )
        metrics = {"loss": value, "gradient_norm": norm, **metrics}
        return TrainState(state.step + 1, params, moments), metrics


def learning_rate_schedule(experiment: Experiment) -> optax.Schedule:
    """The learning rate by step (a float): linear warm-up, then cosine decay to the run's end."""
    settings = experiment.optimizer
    return optax.warmup_cosine_decay_schedule(
        init_value=settings.learning_rate if settings.warmup_steps == 0 else 0.0,
        peak_value=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        decay_steps=max(experiment.steps, settings.warmup_steps + 1),
        end_value=settings.learning_rate * settings.final_fraction,
    )


def _scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Any:
    """`optax.scale_by_adam` under strict dtype promotion: optax raises floats to an int32 count."""

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        mu = optax.tree.update_moment(gradients, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(gradients, state.nu, b2, 2)
        count = optax.safe_increment(state.count)
        exponent = count.astype(jnp.float32)
        mu_hat = optax.tree.bias_correction(mu, b1, exponent)
        nu_hat = optax.tree.bias_correction(nu, b2, exponent)
        direction = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + eps), mu_hat, nu_hat)
        return direction, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(optax.scale_by_adam().init, update)


def _matrices(params: Any) -> Any:
    """Mask of the weight decay: matrices and kernels, not vectors, biases, norms or scales."""
    return jax.tree.map(lambda p: p.ndim > 1, params)
