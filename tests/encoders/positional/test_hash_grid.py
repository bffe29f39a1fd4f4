import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.config import HashGrid
from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.encoders.positional.learnable import interpolate
from tests.conftest import random_places
from tests.encoders.positional.features import draw, encode


def reference(table, unit, n):
    """The trilinear mean, vertex by vertex in float64."""
    out = np.zeros((len(unit), table.shape[1]))
    for row, u in enumerate(unit.astype(np.float64)):
        place = (u + 1) / 2 * n
        low = np.clip(np.floor(place), 0, n - 1).astype(int)
        for corner in itertools.product((0, 1), repeat=3):
            x, y, z = (int(v) for v in low + corner)
            if (n + 1) ** 3 <= len(table):
                index = (x * (n + 1) + y) * (n + 1) + z
            else:
                hashed = x ^ (y * 2654435761) % 2**32 ^ (z * 805459861) % 2**32
                index = hashed % len(table)
            weight = np.prod(np.where(corner, place - low, 1 - (place - low)))
            out[row] += weight * table[index]
    return out


@pytest.mark.parametrize(("n", "size"), [(4, 125), (4, 124), (37, 1000), (200, 64)])
def test_interpolation_is_the_formula(n, size, rng):
    table = rng.normal(size=(size, 3)).astype(np.float32)
    unit = unit_vector(random_places(rng, 40)).astype(np.float32)
    found = jax.jit(interpolate, static_argnums=2)(jnp.asarray(table), jnp.asarray(unit), n)
    np.testing.assert_allclose(found, reference(table, unit, n), atol=1e-4)


def test_a_grid_without_collisions_reproduces_linear_functions(rng):
    n = 5
    vertices = np.array(list(itertools.product(range(n + 1), repeat=3)))
    table = jnp.asarray(2 * vertices / n - 1, jnp.float32)  # each vertex holds its own place
    unit = jnp.asarray(unit_vector(random_places(rng, 100)), jnp.float32)
    found = jax.jit(interpolate, static_argnums=2)(table, unit, n)
    np.testing.assert_allclose(found, unit, atol=1e-6)


def test_levels_shrink_geometrically_and_stand_side_by_side(rng):
    encoding = HashGrid(3, table=300, width=2, coarsest_km=4000.0, finest_km=1000.0)
    variables = draw(encoding)
    lonlat = random_places(rng, 20)
    tables = np.asarray(variables["params"]["vectors"])
    assert tables.shape == (3, 300, 2)
    unit = unit_vector(lonlat).astype(np.float32)
    sizes = [round(2 * EARTH_RADIUS_KM / cell) for cell in (4000, 2000, 1000)]
    expected = [reference(table, unit, n) for table, n in zip(tables, sizes, strict=True)]
    np.testing.assert_allclose(encode(encoding, lonlat, variables), np.hstack(expected), atol=1e-4)
