import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.evaluation import mlp
from earth_embed.evaluation.probes import PenaltyPath, interpolator, ridge_probe, standardise
from earth_embed.evaluation.splits import Split, hold_out

from .worlds import classification, places, regression


def splits(count, seed=0):
    outer = hold_out(None, np.arange(count), seed)
    inner = hold_out(None, np.arange(len(outer.train)), seed + 1)
    return outer, Split(outer.train[inner.train], outer.train[inner.test])


def test_ridge_recovers_a_linear_map(rng):
    x = rng.normal(size=(300, 8)) * 10.0 ** np.arange(-4, 4)
    y = x @ (rng.normal(size=8) / x.std(axis=0)) + 7
    outer, inner = splits(300)
    prediction = ridge_probe(x.astype(np.float32), outer, inner)(regression(y))
    np.testing.assert_allclose(prediction, y[outer.test], atol=1e-3)


@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
def test_penalty_path_equals_scikit_learn(rng, shape):
    x, y = rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    x -= x.mean(axis=0)
    x_test = rng.normal(size=(5, shape[1]))
    penalties = np.array([1e-3, 1.0, 100.0])
    path = PenaltyPath(x, x_test).predict(y, penalties)
    for penalty, prediction in zip(penalties, path, strict=True):
        expected = Ridge(alpha=penalty * len(x)).fit(x, y).predict(x_test)
        np.testing.assert_allclose(prediction, expected, atol=1e-9)


def test_ridge_regularises_noise_to_the_mean(rng):
    x, y = rng.normal(size=(200, 100)), rng.normal(size=200) + 5
    outer, inner = splits(200)
    prediction = ridge_probe(x, outer, inner)(regression(y))
    least_squares = Ridge(alpha=1e-9).fit(x[outer.train], y[outer.train]).predict(x[outer.test])
    assert prediction.std() < 0.2 * least_squares.std()
    assert abs(prediction.mean() - 5) < 0.3


def test_ridge_classifies_and_survives_classes_seen_once_or_never(rng):
    ids = rng.integers(0, 3, 300)
    x = np.eye(3)[ids] + 0.1 * rng.normal(size=(300, 3))
    outer, inner = splits(300)
    ids[outer.test[0]], ids[inner.test[0]], ids[inner.train[0]] = 3, 4, 5
    for probe in (ridge_probe(x, outer, inner), mlp.mlp_probe(x, outer, inner, 0)):
        prediction = probe(classification(ids, 8))
        assert np.mean(prediction == ids[outer.test]) > 0.95


def test_standardise_uses_the_training_part_and_silences_constants(rng):
    x = rng.normal(5, 3, size=(100, 4)).astype(np.float32)
    x[:, 2] = 0.1
    train, test = standardise(x, np.arange(80), np.arange(80, 100))
    np.testing.assert_allclose(train[:, [0, 1, 3]].std(axis=0), 1)
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    assert not train[:, 2].any()
    expected = (x[80:, 0] - x[:80, 0].mean(dtype=float)) / x[:80, 0].std(dtype=float)
    np.testing.assert_allclose(test[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_mlp_learns_xor_which_ridge_cannot(rng, kind):
    x = rng.uniform(-1, 1, size=(1500, 2)).astype(np.float32)
    xor = (x[:, 0] * x[:, 1] > 0).astype(int)
    target = classification(xor, 2) if kind == "classification" else regression(1000 * xor + 3)
    outer, inner = splits(1500)

    def accuracy(probe):
        prediction = probe(target)
        above = prediction > 503 if kind == "regression" else prediction == 1
        return np.mean(above == xor[outer.test])

    assert accuracy(mlp.mlp_probe(x, outer, inner, 0)) > 0.93
    assert accuracy(ridge_probe(x, outer, inner)) < 0.65


def test_mlp_repeats_bit_for_bit_and_moves_with_its_seed(rng):
    x = rng.normal(size=(200, 5)).astype(np.float32)
    target = regression(x[:, 0] ** 2)
    outer, inner = splits(200)
    first, again, other = (mlp.mlp_probe(x, outer, inner, seed)(target) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_mlp_training_equals_optax_by_hand(rng, kind):
    """Step by step, with Optax's own integer counts."""
    x = rng.normal(size=(60, 3)).astype(np.float32)
    y = x[:, 0] if kind == "regression" else (x[:, 0] > 0).astype(np.int32)
    batches, held = rng.choice(40, (3, 4, 16)), np.arange(40, 60)
    start = mlp.init_mlp(jax.random.key(0), (3, 8, 1 if kind == "regression" else 2))
    schedule = optax.cosine_decay_schedule(mlp.LEARNING_RATE, 12)
    optimizer = optax.adamw(schedule, weight_decay=mlp.WEIGHT_DECAY)
    layers, moments, best, least = start, optimizer.init(start), start, np.inf
    for round_ in batches:
        for rows in round_:
            gradient = jax.grad(mlp._loss)(layers, x[rows], y[rows])
            with jax.numpy_dtype_promotion("standard"):
                updates, moments = optimizer.update(gradient, moments, layers)
            layers = optax.apply_updates(layers, updates)
        if (loss := float(mlp._loss(layers, x[held], y[held]))) < least:
            best, least = layers, loss
    found = mlp._fit(start, x, y, batches, held)
    np.testing.assert_allclose(found, mlp.apply_mlp(best, x), rtol=1e-4, atol=1e-6)
    assert np.abs(found - mlp.apply_mlp(start, x)).max() > 1e-3


def test_mlp_compiles_once_for_all_label_counts(rng):
    x = rng.normal(size=(301, 6)).astype(np.float32)
    target = regression(x[:, 0])
    before = mlp._fit._cache_size()
    for count in (50, 120, 200):
        train = np.arange(count)
        inner = Split(train[: count // 2], train[count // 2 :])
        mlp.mlp_probe(x, Split(train, np.arange(count, 301)), inner, 0)(target)
    assert mlp._fit._cache_size() == before + 1


def test_mlp_hidden_layers_have_their_own_parameters():
    layers = mlp.init_mlp(jax.random.key(0), (64, 64, 64, 3))
    assert [layer["weight"].shape for layer in layers] == [(64, 64), (64, 64), (64, 3)]
    assert not np.array_equal(layers[0]["weight"], layers[1]["weight"])
    x = np.ones((4, 64), np.float32)
    gradient = jax.grad(lambda layers: mlp.apply_mlp(layers, x).sum())(layers)
    assert not np.allclose(gradient[0]["weight"], gradient[1]["weight"])
    # By hand, in numpy.
    a, b, c = (np.asarray(layer["weight"]) for layer in layers)
    expected = np.maximum(np.maximum(x @ a, 0) @ b, 0) @ c
    np.testing.assert_allclose(mlp.apply_mlp(layers, x), expected, rtol=1e-4, atol=1e-5)


@given(
    st.integers(0, 1000),
    st.lists(st.floats(-1e6, 1e6), min_size=30, max_size=30),
    st.integers(1, 50),
)
def test_interpolation_stays_within_the_labels_and_reproduces_them(seed, values, neighbours):
    lonlat = places(30, seed)
    values = np.array(values)
    lonlat[20:25] = lonlat[:5]  # test places that carry a label
    values[20:25] = values[:5]
    split = Split(np.arange(20), np.arange(20, 30))
    prediction = interpolator(lonlat, split, neighbours)(regression(values))
    slack = 1e-9 * np.abs(values).max()
    assert (prediction >= values[:20].min() - slack).all()
    assert (prediction <= values[:20].max() + slack).all()
    np.testing.assert_allclose(prediction[:5], values[:5], rtol=0, atol=slack)


def test_interpolation_equals_inverse_square_of_haversine_distance():
    lonlat = places(40)
    values = np.arange(40.0)
    split = Split(np.arange(30), np.arange(30, 40))
    lon, lat = np.radians(lonlat).T
    test, train = split.test[:, None], split.train[None, :]
    chord = (
        np.sin((lat[test] - lat[train]) / 2) ** 2
        + np.cos(lat[test]) * np.cos(lat[train]) * np.sin((lon[test] - lon[train]) / 2) ** 2
    )
    weights = 1 / (2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(chord))) ** 2
    expected = (weights * values[:30]).sum(axis=1) / weights.sum(axis=1)
    np.testing.assert_allclose(interpolator(lonlat, split)(regression(values)), expected)
    votes = np.stack([weights[:, values[:30] % 3 == c].sum(axis=1) for c in range(3)], axis=1)
    elected = interpolator(lonlat, split)(classification(values % 3, 3))
    assert np.array_equal(elected, votes.argmax(axis=1))
