"""The MLP probe: two hidden layers on frozen features, trained in one compiled call.

No shape depends on the number of labels: minibatches are drawn with replacement from the training
rows, and the hold-out is repeated to a fixed length. So a feature and a task compile once for all
splits and label counts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from earth_embed.evaluation.probes import standardise
from earth_embed.evaluation.splits import Split
from earth_embed.tasks.labels import Target

HIDDEN = (64, 64)
BATCH = 128
ROUNDS, STEPS_PER_ROUND = 16, 25
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.3  # chosen on held-out blocks of the validation labels
HELD_OUT = 1024

Layers: TypeAlias = list[dict[str, jax.Array]]


def mlp_probe(
    features: np.ndarray, outer: Split, inner: Split, seed: int
) -> Callable[[Target], np.ndarray]:
    """MLP probe for any target; each target gets its own network.

    AdamW with cosine decay over ROUNDS × STEPS_PER_ROUND steps on the inner training rows. Early
    stopping: of the parameters after each round, those with the lowest loss on the inner hold-out
    are kept. The loss is the squared error of the standardised target, or the cross-entropy.

    Args:
        features: (N, D) frozen features.
        outer: Training and test rows.
        inner: A partition of the training rows, drawn like the outer split.
        seed: Seed of the initialisation and the minibatches.

    Returns:
        A function from a target at the N places to predictions of the test rows:
        (len(outer.test),) values, or class ids.
    """
    _, standardised = standardise(features, inner.train, np.arange(len(features)))
    x = jnp.asarray(standardised, jnp.float32)
    rng = np.random.default_rng(seed)
    batches = rng.choice(inner.train, (ROUNDS, STEPS_PER_ROUND, BATCH)).astype(np.int32)
    held = np.resize(rng.permutation(inner.test), HELD_OUT).astype(np.int32)

    def outputs(y: np.ndarray, width: int) -> np.ndarray:
        layers = init_mlp(jax.random.key(seed), (x.shape[1], *HIDDEN, width))
        return np.asarray(_fit(layers, x, y, batches, held))[outer.test]

    def predict(target: Target) -> np.ndarray:
        values = target.values
        if target.kind == "classification":
            return outputs(values.astype(np.int32), len(target.classes)).argmax(axis=1)
        mean, deviation = values[inner.train].mean(), values[inner.train].std() or 1.0
        y = ((values - mean) / deviation).astype(np.float32)
        return outputs(y, 1)[:, 0] * deviation + mean

    return predict


def init_mlp(key: jax.Array, widths: tuple[int, ...]) -> Layers:
    """He initialisation (He et al. 2015) of layers by width: Gaussian weights, zero biases."""
    keys = jax.random.split(key, len(widths) - 1)
    return [
        {
            "weight": jax.random.normal(k, (fan_in, width)) * np.float32(np.sqrt(2 / fan_in)),
            "bias": jnp.zeros((width,)),
        }
        for k, fan_in, width in zip(keys, widths[:-1], widths[1:], strict=True)
    ]


def apply_mlp(layers: Layers, x: jax.Array) -> jax.Array:
    """Maps (N, D) features to (N, K) outputs, with ReLU between the layers."""
    for layer in layers[:-1]:
        x = jax.nn.relu(x @ layer["weight"] + jnp.expand_dims(layer["bias"], 0))
    return x @ layers[-1]["weight"] + jnp.expand_dims(layers[-1]["bias"], 0)


@jax.jit
def _fit(
    layers: Layers, x: jax.Array, y: jax.Array, batches: jax.Array, held: jax.Array
) -> jax.Array:
    """Trains, and returns the outputs (N, K) of the best parameters for all rows.

    Args:
        layers: Initial parameters.
        x: (N, D) float32, standardised.
        y: (N,) float32 standardised values, or int32 class ids.
        batches: (rounds, steps, batch) int32, rows of the minibatches.
        held: (H,) int32, rows of the hold-out.
    """
    schedule = optax.cosine_decay_schedule(LEARNING_RATE, batches.shape[0] * batches.shape[1])
    optimizer = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)

    def step(state: tuple, rows: jax.Array) -> tuple[tuple, None]:
        layers, moments = state
        gradient = jax.grad(_loss)(layers, x[rows], y[rows])
        updates, moments = optimizer.update(gradient, moments, layers)
        return (optax.apply_updates(layers, updates), moments), None

    def train_round(state: tuple, rows: jax.Array) -> tuple[tuple, None]:
        training, best, best_loss = state
        training, _ = jax.lax.scan(step, training, rows)
        loss = _loss(training[0], x[held], y[held])
        pick = functools.partial(jnp.where, loss < best_loss)
        return (training, jax.tree.map(pick, training[0], best), pick(loss, best_loss)), None

    # Optax's step counts as floats: it multiplies them with floats.
    moments = jax.tree.map(jnp.float32, optimizer.init(layers))
    start = ((layers, moments), layers, jnp.float32(jnp.inf))
    (_, best, _), _ = jax.lax.scan(train_round, start, batches)
    return apply_mlp(best, x)


def _loss(layers: Layers, x: jax.Array, y: jax.Array) -> jax.Array:
    outputs = apply_mlp(layers, x)
    if jnp.issubdtype(y.dtype, jnp.floating):
        return jnp.mean((outputs[:, 0] - y) ** 2)
    return optax.losses.softmax_cross_entropy_with_integer_labels(outputs, y).mean()
