"""What a free embedding can reach, and what nothing can."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from earth_embed.diagnosis.limits import oracle


def embeddings(seed, count=32, dim=16):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def nt_xent(z, e, scale):
    z, e = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (z, e))
    x = scale * z @ e.T
    return float((np.log(np.exp(x).sum(axis=1)) - np.diag(x)).mean())


def test_samples_that_differ_leave_nothing():
    found = oracle(embeddings(0), embeddings(1), 30.0, steps=200, rate=0.05)
    assert found.loss == pytest.approx(nt_xent(embeddings(0), embeddings(1), 30.0), rel=1e-5)
    assert found.floor < 0.01 * found.loss
    assert found.encoder_share == 1 - found.floor / found.loss


def test_samples_that_are_alike_leave_their_entropy():
    """Of two equal samples one must guess: log 2 each, whatever the locations are."""
    twins = np.repeat(embeddings(0, 16), 2, axis=0)
    found = oracle(twins, embeddings(1), 30.0, steps=200, rate=0.05)
    assert found.floor == pytest.approx(np.log(2), abs=0.01)
    assert found.floor >= np.log(2) - 1e-6


def test_training_equals_optax_by_hand():
    """Step by step, with Optax's own integer counts."""
    samples, locations = embeddings(0), embeddings(1)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.02, 10))

    @jax.value_and_grad
    def loss(free):
        z = jnp.asarray(samples / np.linalg.norm(samples, axis=1, keepdims=True))
        e = free / jnp.linalg.norm(free, axis=1, keepdims=True)
        return -jnp.diag(jax.nn.log_softmax(30.0 * z @ e.T)).mean()

    free = jnp.asarray(locations / np.linalg.norm(locations, axis=1, keepdims=True))
    moments = optimizer.init(free)
    for _ in range(10):
        with jax.numpy_dtype_promotion("standard"):
            update, moments = optimizer.update(loss(free)[1], moments)
        free = free + update
    found = oracle(samples, locations, 30.0, steps=10, rate=0.02)
    assert found.floor == pytest.approx(float(loss(free)[0]), rel=1e-4)
    assert found.floor < 0.9 * found.loss


def test_an_oracle_that_starts_at_the_floor_stays_there():
    samples = embeddings(0)
    best = oracle(samples, samples, 100.0, steps=3, rate=1.0)
    assert best.floor <= best.loss
    assert best.loss < 1e-6
