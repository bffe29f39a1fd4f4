import numpy as np
import pytest

from earth_embed.config import Space2Vec
from tests.conftest import random_places
from tests.encoders.positional.features import encode

DIRECTIONS = {
    "grid": [(1, 0), (0, 1)],
    "theory": [(1, 0), (-1 / 2, 3**0.5 / 2), (-1 / 2, -(3**0.5) / 2)],
}


@pytest.mark.parametrize("kind", ["grid", "theory"])
def test_features_are_the_formula(kind, rng):
    lonlat = random_places(rng, 50).astype(np.float32)
    x = np.radians(lonlat.astype(np.float64))
    columns = []
    for f in (1 / 2, 1 / 0.2, 1 / 0.02):
        for direction in DIRECTIONS[kind]:
            along = f * (x @ np.array(direction))
            columns += [np.sin(along), np.cos(along)]
    found = encode(Space2Vec(kind, scales=3, min_radius=0.02, max_radius=2.0), lonlat)
    np.testing.assert_allclose(found, np.stack(columns, axis=1), atol=3e-5)


@pytest.mark.parametrize("kind", ["grid", "theory"])
def test_products_depend_on_the_difference_of_places_alone(kind, rng):
    """⟨e(x), e(y)⟩ = Σ_ij cos(f_i ⟨a_j, x − y⟩): the code is a shift-invariant kernel's."""
    encoding = Space2Vec(kind, scales=4, min_radius=0.1)
    x, y = rng.uniform(-40, 40, (2, 30, 2))
    shift = rng.uniform(-40, 40, (30, 2))
    before = (encode(encoding, x) * encode(encoding, y)).sum(axis=1)
    after = (encode(encoding, x + shift) * encode(encoding, y + shift)).sum(axis=1)
    np.testing.assert_allclose(before, after, atol=2e-4)
    norm = (encode(encoding, x) ** 2).sum(axis=1)
    np.testing.assert_allclose(norm, 4 * len(DIRECTIONS[kind]), rtol=1e-5)


def test_one_scale_is_the_coarsest():
    single = Space2Vec("grid", scales=1, min_radius=0.25, max_radius=0.5)
    np.testing.assert_allclose(encode(single, [[30, 15]])[0, 0], np.sin(np.pi / 3), atol=1e-6)
