"""Every network is its formula and starts as published."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from earth_embed.config import (
    Linear,
    Mlp,
    ResidualMlp,
    ResidualSiren,
    Siren,
    TokenTransformer,
)

KEY = jax.random.key(0)
NETWORKS = {
    "siren": Siren((7, 9), w0_first=11.0, w0_hidden=3.0),
    "residual siren": ResidualSiren(7, 4, w0_first=11.0, w0_hidden=3.0),
    "residual siren sinh": ResidualSiren(7, 3, first="sinh"),
    "mlp": Mlp((7, 9)),
    "residual mlp": ResidualMlp(8, 3),
    "token transformer": TokenTransformer(8, 2, 2),
    "linear": Linear(),
}


@functools.cache
def make(network):
    """The network, some inputs, and parameters moved away from where they start."""
    module = network.module(5, jnp.float32, scales=3)  # tokens, of 8 features each
    x = jax.random.normal(KEY, (6, 24))

    @jax.jit
    def init():
        params = module.init(KEY, x)
        keys = iter(jax.random.split(KEY, 99))
        return jax.tree.map(lambda p: p + 0.1 * jax.random.normal(next(keys), p.shape), params)

    return module, x, init()


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def norm(layer, x):
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    return centred / scale * layer["scale"] + layer["bias"]


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def attend(layer, x):
    """Softmax attention, head by head; Flax stores kernels as (width, heads, width / heads)."""
    parts = ("query", "key", "value")
    q, k, v = (
        np.einsum("ntw,whd->nhtd", x, layer[p]["kernel"]) + layer[p]["bias"][None, :, None]
        for p in parts
    )
    weight = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), axis=-1)
    return np.einsum("nhtd,hdw->ntw", weight @ v, layer["out"]["kernel"]) + layer["out"]["bias"]


def reference(config, p, x):
    """The formula of each network in float64."""
    if isinstance(config, Siren):
        for i in range(len(config.hidden)):
            x = np.sin((config.w0_hidden if i else config.w0_first) * dense(p[f"hidden_{i}"], x))
    elif isinstance(config, ResidualSiren):
        h = dense(p["hidden_0"], x)
        x = np.sin(config.w0_first * (np.sinh(2 * h) if config.first == "sinh" else h))
        for i in range(1, config.depth):
            h = (dense(p[f"hidden_{i}"], x) + h) / 2
            x = np.sin(config.w0_hidden * h)
    elif isinstance(config, Mlp):
        for i in range(len(config.hidden)):
            x = np.maximum(dense(p[f"hidden_{i}"], x), 0)
    elif isinstance(config, ResidualMlp):
        x = dense(p["first"], x)
        for i in range(config.depth):
            x = x + dense(p[f"down_{i}"], gelu(dense(p[f"up_{i}"], norm(p[f"norm_{i}"], x))))
        x = norm(p["norm"], x)
    elif isinstance(config, TokenTransformer):
        tokens = np.split(x, 3, axis=1)
        x = np.stack([t @ k for t, k in zip(tokens, p["kernel"], strict=True)], 1) + p["bias"]
        for i in range(config.depth):
            x = x + attend(p[f"attention_{i}"], norm(p[f"norm_attention_{i}"], x))
            x = x + dense(p[f"down_{i}"], gelu(dense(p[f"up_{i}"], norm(p[f"norm_{i}"], x))))
        x = norm(p["norm"], x).mean(axis=1)
    return dense(p["last"], x)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_networks_are_their_formula(network):
    module, x, variables = make(network)
    p = jax.tree.map(lambda v: np.asarray(v, np.float64), variables["params"])
    found = jax.jit(module.apply)(variables, x)
    assert found.shape == (6, 5)
    np.testing.assert_allclose(found, reference(network, p, np.asarray(x, np.float64)), atol=3e-4)


@pytest.mark.parametrize("residual", [False, True])
def test_siren_initialisation_has_the_published_bounds(residual):
    config = ResidualSiren(400, 2, w0_hidden=2.0) if residual else Siren((400, 300), w0_hidden=2.0)
    module = config.module(200, jnp.float32)
    params = jax.jit(module.init)(KEY, jnp.zeros((1, 50)))["params"]
    last = 400 if residual else 300
    bounds = {
        "hidden_0": 1 / 50,
        "hidden_1": np.sqrt((18 if residual else 6) / 400) / 2.0,
        "last": np.sqrt(6 / last),
    }
    for name, bound in bounds.items():
        for values in jax.tree.leaves(params[name]):
            assert np.abs(values).max() <= bound
            # Uniform: the largest of n values lies near the bound, and the spread is bound/√3.
            assert np.abs(values).max() > 0.95 * bound
            assert np.std(values) == pytest.approx(bound / np.sqrt(3), rel=0.1)


def test_a_deep_residual_siren_keeps_its_signal():
    """Embeddings of different places are as far apart after 16 layers as after 2."""
    spread = []
    for depth in (2, 16):
        module = ResidualSiren(96, depth).module(5, jnp.float32)
        x = jax.random.normal(KEY, (64, 24))
        embed = jax.jit(lambda x, module=module: module.apply(module.init(KEY, x), x))
        spread.append(float(np.std(np.asarray(embed(x)), axis=0).mean()))
    assert spread[1] == pytest.approx(spread[0], rel=0.3)


def test_tokens_attend_to_each_other():
    """Another scale's features change what a scale's token says: more than a sum over scales."""
    module, x, variables = make(TokenTransformer(8, 2, 2))
    apply = jax.jit(module.apply)
    first, second = x.at[:, :8].add(1.0), x.at[:, 8:16].add(1.0)
    both = x.at[:, :16].add(1.0)
    mixed = apply(variables, both) - apply(variables, first) - apply(variables, second)
    assert np.abs(mixed + apply(variables, x)).max() > 1e-3
