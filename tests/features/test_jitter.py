"""Jitter: within its disc, uniform there, and without a direction, wherever the place is."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.features.views import jitter

COUNT = 256
KEYS = jax.random.split(jax.random.key(1), COUNT)
RADIUS = 1000 * EARTH_RADIUS_KM
PLACES = [(12.0, 45.0), (0.0, 90.0), (70.0, -90.0), (180.0, 10.0), (-180.0, -60.0), (0.0, 0.0)]


def metres(a, b):
    """Great-circle distances, from chords: exact for small ones."""
    chord = np.linalg.norm(unit_vector(a) - unit_vector(b), axis=-1)
    return 2 * RADIUS * np.arcsin(np.minimum(chord / 2, 1))


@settings(max_examples=50)
@given(
    st.floats(-180, 180),
    st.floats(-90, 90),
    st.floats(0, 2e7),
)
def test_places_stay_within_the_disc_and_on_the_map(lon, lat, radius):
    places = np.tile([[lon, lat]], (COUNT, 1))
    moved = jitter(KEYS, places, radius)
    assert (np.abs(moved) <= [180, 90]).all()
    assert (metres(places, moved) <= radius * (1 + 1e-9) + 1e-5).all()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("radius", [50.0, 20_000.0])
def test_the_mean_is_the_place_and_the_disc_is_filled(place, radius):
    keys = jax.random.split(jax.random.key(2), 4000)
    places = np.tile([place], (len(keys), 1))
    moved = jitter(keys, places, radius)
    offset = (unit_vector(moved) - unit_vector(places)).mean(axis=0) * RADIUS
    # Each coordinate of a uniform disc has the deviation radius / 2.
    assert np.abs(offset).max() < 4 * radius / 2 / np.sqrt(len(keys)) + 2 * radius**2 / RADIUS
    # The area within a distance d is (d / radius)²: those are uniform.
    quantiles = np.quantile((metres(places, moved) / radius) ** 2, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(quantiles, [0.1, 0.5, 0.9], atol=0.04)


def test_no_radius_no_move():
    places = np.array(PLACES)
    np.testing.assert_allclose(
        metres(jitter(KEYS[: len(places)], places, 0.0), places), 0, atol=1e-8
    )


def test_the_whole_sphere_is_a_disc():
    keys = jax.random.split(jax.random.key(5), 4000)
    moved = jitter(keys, np.tile([[10.0, 80.0]], (len(keys), 1)), np.pi * RADIUS)
    assert np.abs(unit_vector(moved).mean(axis=0)).max() < 4 / np.sqrt(3 * len(keys))
