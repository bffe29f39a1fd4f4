"""Microbatches against the whole batch: embeddings, gradients, memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.encoders.microbatch import encode_in_parts

WIDTH, LAYERS = 32, 6


def encode(weights, x, key=None):
    for layer in weights:
        x = jnp.tanh(x @ layer)
        if key is not None:
            x = x * jax.random.bernoulli(key, 0.5, x.shape).astype(x.dtype)
    return x


@pytest.fixture
def weights(rng):
    return jnp.asarray(rng.normal(size=(LAYERS, WIDTH, WIDTH)), jnp.float32) / np.sqrt(WIDTH)


def objective(weights, x, size, key=None):
    """A loss that ties all rows together, as a contrastive one does."""
    z = encode_in_parts(lambda x, key: encode(weights, x, key), x, key, size)
    return jax.nn.logsumexp(z @ z.T), z


def test_gradients_are_those_of_the_whole_batch(weights, rng):
    x = jnp.asarray(rng.normal(size=(24, WIDTH)), jnp.float32)
    step = jax.jit(jax.value_and_grad(objective, has_aux=True), static_argnums=2)
    (value, z), gradient = step(weights, x, 0)
    for size in (24, 8, 1):
        (ours, ours_z), ours_gradient = step(weights, x, size)
        np.testing.assert_allclose(ours, value, rtol=1e-6)
        np.testing.assert_allclose(ours_z, z, atol=1e-6)  # in the order of the rows
        error = np.linalg.norm(ours_gradient - gradient)
        assert error <= 1e-5 * np.linalg.norm(gradient)


def test_a_batch_that_cannot_be_divided_is_encoded_whole(weights, rng):
    x = jnp.asarray(rng.normal(size=(10, WIDTH)), jnp.float32)
    text = str(jax.make_jaxpr(lambda x: objective(weights, x, 4))(x))
    assert "scan" not in text
    assert "scan" in str(jax.make_jaxpr(lambda x: objective(weights, x, 5))(x))


def test_every_part_has_a_dropout_of_its_own(weights):
    same = jnp.ones((12, WIDTH))
    key = jax.random.key(0)
    draw = jax.jit(lambda key: objective(weights, same, 4, key)[1])
    z = np.asarray(draw(key))
    assert len(np.unique(z, axis=0)) == 12
    np.testing.assert_array_equal(z, draw(key))


def test_activations_of_the_whole_batch_never_exist(weights):
    """Of 4,096 rows, 6 layers keep 3 MiB to differentiate; of 64, hardly anything."""

    def temporaries(size):
        x = jax.ShapeDtypeStruct((4096, WIDTH), jnp.float32)

        def total(weights, x):
            return (encode_in_parts(lambda x, _: encode(weights, x), x, None, size) ** 2).sum()

        compiled = jax.jit(jax.grad(total)).lower(weights, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    embeddings = 4096 * WIDTH * 4
    assert temporaries(0) > LAYERS * embeddings
    assert temporaries(64) < 4 * embeddings
