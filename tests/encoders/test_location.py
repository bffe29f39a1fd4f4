"""Whole location encoders: their formula, their parameters' names, and combinations of them."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.config import (
    Cartesian,
    Combined,
    EqualEarthFourier,
    Linear,
    LocationConfig,
    Mlp,
    Siren,
    SphereFourier,
    SphericalHarmonics,
    TokenTransformer,
    Wrap,
)
from earth_embed.encoders import published
from earth_embed.encoders.harmonics.basis import spherical_harmonics
from earth_embed.encoders.location import (
    build_location,
    flops_per_place,
    init_location,
    parameter_count,
)
from earth_embed.encoders.networks.siren import uniform
from earth_embed.hashing import named_key
from tests.conftest import random_places

KEY = jax.random.key(0)
HARMONIC_SIREN = LocationConfig(
    SphericalHarmonics(5), Siren((7, 9), w0_first=11.0, w0_hidden=3.0), features=4
)


def initial(location, seed=0):
    return jax.jit(lambda: init_location(location, seed))()


def embed(location, params, lonlat, **options):
    module = build_location(location, **options)
    apply = jax.jit(lambda p, x: module.apply({"params": p}, x))
    return np.asarray(apply(params, jnp.asarray(lonlat, jnp.float32)))


def names(tree):
    return {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)}


def test_harmonics_and_siren_are_their_formula(rng):
    lonlat = random_places(rng, 6).astype(np.float32)
    params = initial(HARMONIC_SIREN)
    layer = jax.tree.map(np.asarray, params["siren"])
    x = np.asarray(spherical_harmonics(jnp.asarray(lonlat), 5))
    x = np.sin(11.0 * (x @ layer["hidden_0"]["kernel"] + layer["hidden_0"]["bias"]))
    x = np.sin(3.0 * (x @ layer["hidden_1"]["kernel"] + layer["hidden_1"]["bias"]))
    x = x @ layer["last"]["kernel"] + layer["last"]["bias"]
    np.testing.assert_allclose(embed(HARMONIC_SIREN, params, lonlat), x, atol=2e-5)


def test_runs_saved_when_there_was_one_encoder_find_their_parameters():
    """The tree of version 0.1, and its initial values: the run's untrained encoder is the same."""

    class Saved(nn.Module):
        @nn.compact
        def __call__(self, x):
            return SavedSiren(name="siren")(x)

    class SavedSiren(nn.Module):
        @nn.compact
        def __call__(self, x):
            for name, width, bound in [
                ("hidden_0", 7, 1 / 25),
                ("hidden_1", 9, float(np.sqrt(6 / 7)) / 3.0),
                ("last", 4, float(np.sqrt(6 / 9))),
            ]:
                start = uniform(bound)
                x = nn.Dense(width, kernel_init=start, bias_init=start, name=name)(x)
            return x

    saved = jax.jit(Saved().init)(named_key(3, "init/location"), jnp.zeros((1, 25)))["params"]
    jax.tree.map(np.testing.assert_array_equal, initial(HARMONIC_SIREN, seed=3), saved)


def test_dropout_acts_in_training_alone(rng):
    location = LocationConfig(SphericalHarmonics(3), Siren((32,), dropout=0.5), features=4)
    module, params = build_location(location), initial(location)
    lonlat = jnp.asarray(random_places(rng, 5), jnp.float32)
    still = embed(location, params, lonlat)
    train = jax.jit(
        lambda key: module.apply({"params": params}, lonlat, train=True, rngs={"dropout": key})
    )
    assert not np.allclose(still, train(KEY))
    np.testing.assert_array_equal(train(KEY), train(KEY))


@pytest.mark.parametrize("how", ["sum", "concatenation"])
def test_combined_encoders_are_the_sum_or_stand_side_by_side(how, rng):
    inner = LocationConfig(SphereFourier(4, (9000.0,)), Mlp((6,)), features=4)
    location = Combined((HARMONIC_SIREN, Combined((inner,), "concatenation")), how)
    params = initial(location)
    assert set(params) == {"part_0", "part_1"}
    lonlat = random_places(rng, 6)
    first = embed(HARMONIC_SIREN, params["part_0"], lonlat)
    second = embed(inner, params["part_1"]["part_0"], lonlat)
    expected = first + second if how == "sum" else np.hstack([first, second])
    found = embed(location, params, lonlat)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.shape[1] == location.features
    both = flops_per_place(HARMONIC_SIREN) + flops_per_place(inner)
    assert flops_per_place(location) == pytest.approx(both, rel=0.02)


def test_flops_are_those_of_the_products():
    """2nm for each dense layer of n inputs and m outputs, and little else."""
    mlp = LocationConfig(Cartesian(), Mlp((512, 256)), features=128)
    products = 2 * (3 * 512 + 512 * 256 + 256 * 128)
    assert products < flops_per_place(mlp) < 1.02 * products
    # Of 2L³ harmonics and 2L² H for the first dense layer, by matrix products up to L = 128.
    degree, width = 64, 512
    siren = LocationConfig(SphericalHarmonics(degree), Siren((width,)), features=width)
    products = 2 * (degree**3 + degree**2 * width + width**2)
    assert products < flops_per_place(siren) < 1.05 * products


def test_parts_start_apart():
    twice = Combined((HARMONIC_SIREN, HARMONIC_SIREN))
    params = initial(twice)
    kernels = [params[f"part_{i}"]["siren"]["last"]["kernel"] for i in range(2)]
    assert not np.allclose(*kernels)


def test_smoothing_is_the_trained_low_pass(rng):
    lonlat = random_places(rng, 6)
    params = initial(HARMONIC_SIREN)
    low = dataclasses.replace(HARMONIC_SIREN, encoding=SphericalHarmonics(5, low_pass_km=800.0))
    smooth = embed(HARMONIC_SIREN, params, lonlat, smoothing_km=800.0)
    np.testing.assert_allclose(smooth, embed(low, params, lonlat), atol=1e-6)
    combined = Combined((HARMONIC_SIREN, HARMONIC_SIREN))
    found = embed(combined, {"part_0": params, "part_1": params}, lonlat, smoothing_km=800.0)
    np.testing.assert_allclose(found, 2 * smooth, atol=1e-5)


def test_geoclip_s_parameters_and_its_formula(rng):
    """In float64 from the projection to the sum: GeoCLIP's own float32 is 2e-5 from this."""
    location = published.geoclip()
    params = initial(location)
    layers = ("hidden_0", "hidden_1", "hidden_2", "last")
    assert names(params) == {
        f"['part_{i}']{leaf}"
        for i in range(3)
        for leaf in (
            "['encoding']['frozen_frequencies']",
            *(f"['mlp']['{layer}']['{kind}']" for layer in layers for kind in ("kernel", "bias")),
        )
    }
    lonlat = random_places(rng, 100).astype(np.float32)
    lon, lat = np.radians(lonlat.astype(np.float64)).T
    theta = np.arcsin(np.sqrt(3) / 2 * np.sin(lat))
    slope = 9 * 0.003796 * theta**8 + 7 * 0.000893 * theta**6 - 3 * 0.081106 * theta**2 + 1.340264
    x = 2 * np.sqrt(3) * lon * np.cos(theta) / (3 * slope)
    y = 0.003796 * theta**9 + 0.000893 * theta**7 - 0.081106 * theta**3 + 1.340264 * theta
    v = np.stack([x, y], axis=1) * 66.50336 / 180
    total = 0.0
    for part in jax.tree.map(lambda p: np.asarray(p, np.float64), params).values():
        phase = 2 * np.pi * v @ part["encoding"]["frozen_frequencies"][0].T
        h = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        for name in layers:
            h = h @ part["mlp"][name]["kernel"] + part["mlp"][name]["bias"]
            h = h if name == "last" else np.maximum(h, 0)
        total = total + h
    np.testing.assert_allclose(embed(location, params, lonlat), total, atol=1e-5)


@pytest.mark.parametrize(
    ("location", "count"),
    [
        (published.satclip(10), 445_696),  # as released
        (published.satclip(40), 1_213_696),
        (published.geoclip(), 3 * (512 + 513 * 1024 + 2 * 1025 * 1024 + 1025 * 512)),
        (published.climplicit_style(), 4 * 512 + 15 * 513 * 512 + 513 * 256),
        (published.mind_style(), 3 * 3072 + 11 * 3073 * 3072 + 3073 * 512),
        (
            published.unigeoclip_style(),
            5 * 512 + (5 * 512 + 5) * 256 + 12 * (12 * 256 + 13) * 256 + 2 * 256 + 257 * 512,
        ),
        (
            published.sphere_fourier(),
            4 * 768 + 2049 * 512 + 4 * (2 * 513 * 512 + 1024) + 1024 + 513 * 256,
        ),
        (LocationConfig(Cartesian(), Linear(), 9), 36),
    ],
)
def test_parameters_are_counted_as_the_documentation_does(location, count):
    assert parameter_count(location) == count


def test_bfloat16_is_for_products_alone(rng):
    lonlat = random_places(rng, 8)
    combined = Combined((HARMONIC_SIREN, LocationConfig(SphereFourier(8), Mlp((16,)), 4)))
    params = initial(combined)
    exact, rounded = (embed(combined, params, lonlat, dtype=d) for d in (jnp.float32, jnp.bfloat16))
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(exact, rounded, atol=0.1 * np.abs(exact).max())


def test_bfloat16_transformer(rng):
    location = LocationConfig(EqualEarthFourier(8), TokenTransformer(16, 2, 2), 4)
    params, lonlat = initial(location), random_places(rng, 8)
    with jax.numpy_dtype_promotion("standard"):  # Flax's LayerNorm mixes it with float32
        rounded = embed(location, params, lonlat, dtype=jnp.bfloat16)
    np.testing.assert_allclose(embed(location, params, lonlat), rounded, atol=0.1)


def test_an_encoding_without_parameters_leaves_no_trace():
    assert set(initial(LocationConfig(Wrap(), Linear(), 2))) == {"linear"}
