"""Small synthetic worlds: labelled places whose truth is known."""

import numpy as np

from earth_embed.coordinates import unit_vector
from earth_embed.tasks.labels import Labels, Target
from tests.conftest import random_places


def places(count, seed=0):
    """Uniform on the sphere, (count, 2) degrees."""
    return random_places(np.random.default_rng(seed), count)


def regression(values, name="height", layers=()):
    return Target(name, np.asarray(values, float), "regression", (), "m", frozenset(layers))


def classification(ids, count, name="zone", layers=()):
    names = tuple(f"class {i}" for i in range(count))
    ids = np.asarray(ids, np.int64)
    return Target(name, ids, "classification", names, "", frozenset(layers))


def world(count=400, seed=0):
    """Height is linear in the unit vector; zones are its octants and one class with one example."""
    lonlat = places(count, seed)
    vectors = unit_vector(lonlat)
    octant = (vectors > 0) @ np.array([1, 2, 4])
    octant[7] = 8
    height = regression(vectors @ np.array([300.0, -200.0, 500.0]), layers={"relief"})
    return Labels(lonlat, {"height": height, "zone": classification(octant, 9)})
