"""SatCLIP's rounded polynomials, against its printed digits evaluated without any rounding."""

from fractions import Fraction

import jax
import numpy as np
import pytest
from scipy.special import sph_harm_y

from earth_embed.config import SphericalHarmonics
from earth_embed.encoders.positional.harmonics import coefficient_errors, zonal_rounding
from earth_embed.errors import ConfigError
from tests.conftest import random_places
from tests.encoders.positional.features import encode

# Y_39,0: coefficients of x³⁹, x³⁷, … x with 15 digits.
PRINTED_39 = """
389968157002.95 -3752810445963.45 16662478380077.7 -45270203818019.4 84164322591247.4
-113438869579507.0 114567614550448.0 -88380731224631.1 52607578109899.4 -24243565139899.0
8629065558269.14 -2353381515891.58 484939221456.448 -73902203560.1263 8073349968.75329
-604128228.954328 28921032.2371753 -793910.688863635 10257.2440421658 -39.501581677147
"""


def printed_y39(x):
    """The polynomial as printed, exactly."""
    terms = zip(map(Fraction, PRINTED_39.split()), range(39, 0, -2), strict=True)
    return float(sum(c * Fraction(float(x)) ** k for c, k in terms))


def test_the_rounding_is_that_of_the_printed_digits():
    latitudes = np.linspace(-90, 90, 61, dtype=np.float32)
    found = np.asarray(jax.jit(lambda x: zonal_rounding(x, 40))(latitudes))
    colatitude = np.radians(90 - latitudes.astype(float))
    x = np.cos(colatitude)
    exact = np.pi * sph_harm_y(39, 0, colatitude, 0).real
    expected = np.array([printed_y39(v) for v in x]) - exact
    assert 0.5 < np.abs(expected).max() < 0.6
    np.testing.assert_allclose(np.pi * found[:, 39], expected, atol=2e-6)
    np.testing.assert_allclose(found[::-1, 38], found[:, 38], atol=1e-6)  # the parity of l
    assert np.abs(found[:, :28]).max() < 1e-5
    assert np.abs(found[np.abs(latitudes) < 45]).max() < 2e-5


def test_the_digits_of_every_degree_are_close_to_the_exact_coefficients():
    """Fifteen digits: each error is at most half a unit of the last, plus the double's own."""
    errors, ell = coefficient_errors(40), np.arange(40)
    for degree in ell:
        legendre = np.polynomial.legendre.leg2poly([0] * degree + [1])
        exact = np.sqrt((2 * degree + 1) * np.pi / 4) * legendre
        unit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(exact), 1e-300))) - 14)
        assert (np.abs(errors[: degree + 1, degree]) <= 0.5 * unit + 4e-16 * np.abs(exact)).all()
    assert (errors[(ell[:, None] > ell) | ((ell[:, None] + ell) % 2 == 1)] == 0).all()


def test_only_zonal_harmonics_are_rounded(rng):
    lonlat = random_places(rng, 30)
    exact = encode(SphericalHarmonics(40, "satclip"), lonlat)
    rounded = encode(SphericalHarmonics(40, "satclip", satclip_polynomials=True), lonlat)
    zonal = np.arange(40) * np.arange(1, 41)
    signed = np.pi * (-1.0) ** np.arange(40) * np.asarray(zonal_rounding(lonlat[:, 1], 40))
    np.testing.assert_allclose((rounded - exact)[:, zonal], signed, atol=1e-5)
    others = np.setdiff1d(np.arange(1600), zonal)
    np.testing.assert_array_equal(rounded[:, others], exact[:, others])
    # The run-time low-pass smooths both: at 3000 km nothing is left of l = 39.
    smooth = SphericalHarmonics(40, "satclip", low_pass_km=3000.0, satclip_polynomials=True)
    assert np.abs(encode(smooth, lonlat)[:, 39**2 :]).max() < 1e-6


@pytest.mark.parametrize(("degree", "normalisation"), [(41, "satclip"), (40, "orthonormal")])
def test_they_exist_for_satclip_s_own_harmonics_alone(degree, normalisation):
    with pytest.raises(ConfigError, match="expected"):
        SphericalHarmonics(degree, normalisation, satclip_polynomials=True)
