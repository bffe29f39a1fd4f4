"""What holds for every encoding: its width and its seam as it says, finite gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from earth_embed.config import SphericalHarmonics
from tests.conftest import random_places
from tests.encoders.positional.features import ENCODINGS, draw, encode, materialise

every = pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)

POLES_AND_SEAM = np.array(
    [[0, 90], [77, 90], [-150, -90], [180, 90], [-180, -90], [180, 12], [-180, 12], [0, 0]]
)


@every
def test_features_are_as_wide_as_said_and_in_float32(encoding, rng):
    features = encode(encoding, random_places(rng, 7))
    assert features.shape == (7, encoding.module(name="encoding").width)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert len(np.unique(features.round(5), axis=0)) == 7


@every
def test_the_seam_is_where_it_is_said_to_be(encoding):
    """A place by two names has two codes at a seam, and one where there is none."""
    same = [[-180, 33], [180, 33], [0, 90], [77, 90], [0, -90], [-150, -90]]
    west, east, north, north_again, south, south_again = encode(encoding, same)
    seam = encoding.module(name="encoding").seam
    for gap, name in [
        (np.abs(west - east).max(), "antimeridian"),
        (np.abs(north - north_again).max(), "poles"),
        (np.abs(south - south_again).max(), "poles"),
    ]:
        assert gap > 1e-2 if name in seam else gap < 2e-4


@every
def test_gradients_are_finite_everywhere(encoding):
    variables = draw(encoding)
    weights = jnp.sin(jnp.arange(encoding.module(name="encoding").width, dtype=jnp.float32) + 1)

    @jax.jit
    def gradients(variables, lonlat):
        total = lambda v, x: (materialise(encoding, v, x) @ weights[:, None]).sum()  # noqa: E731
        return jax.grad(total, argnums=(0, 1))(variables, lonlat)

    of_parameters, of_places = gradients(variables, jnp.asarray(POLES_AND_SEAM, jnp.float32))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((of_parameters, of_places)))
    assert np.abs(of_places).max() > 0


def test_concatenated_features_stand_side_by_side(rng):
    lonlat = random_places(rng, 5)
    encoding = ENCODINGS["concatenation"]
    variables = draw(encoding)
    own = variables["params"]
    assert set(own) == {"part_2"}  # the hash grid's; the others have none
    parts = [
        encode(part, lonlat, {"params": own.get(f"part_{i}", {})})
        for i, part in enumerate(encoding.parts)
    ]
    np.testing.assert_allclose(encode(encoding, lonlat, variables), np.hstack(parts), atol=1e-6)


def test_smoothing_reaches_the_harmonics_of_a_concatenation(rng):
    lonlat = random_places(rng, 5)
    encoding = ENCODINGS["concatenation"]
    variables = draw(encoding)
    smooth = encode(encoding, lonlat, variables, smoothing_km=700.0)
    harmonics = SphericalHarmonics(3, low_pass_km=700.0)
    np.testing.assert_allclose(smooth[:, 3:12], encode(harmonics, lonlat), atol=1e-6)
    sharp = encode(encoding, lonlat, variables)
    np.testing.assert_array_equal(
        np.delete(smooth, range(3, 12), 1), np.delete(sharp, range(3, 12), 1)
    )
