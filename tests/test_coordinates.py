"""Coordinates: what is valid passes unaltered, what is not says why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from earth_embed.coordinates import block_of, check_lonlat, unit_vector
from earth_embed.errors import CoordinateError


def places(west: float = -180, east: float = 180, least: int = 1) -> st.SearchStrategy[np.ndarray]:
    counts = st.integers(least, 20)
    return counts.flatmap(
        lambda n: st.builds(
            lambda lon, lat: np.stack([lon, lat], axis=1),
            hnp.arrays(np.float64, n, elements=st.floats(west, east)),
            hnp.arrays(np.float64, n, elements=st.floats(-90, 90)),
        )
    )


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


@given(places(least=0))
def test_valid_coordinates_pass_unaltered(lonlat):
    before = lonlat.copy()
    np.testing.assert_array_equal(check_lonlat(lonlat), before)
    np.testing.assert_array_equal(check_lonlat(lonlat[:, 0], lonlat[:, 1]), before)
    np.testing.assert_array_equal(lonlat, before)


@given(places(west=0, east=360))
def test_longitudes_to_360_wrap_to_the_same_place(lonlat):
    before = lonlat.copy()
    wrapped = check_lonlat(lonlat)
    assert wrapped[:, 0].min() >= -180
    assert wrapped[:, 0].max() <= 180
    np.testing.assert_array_equal(wrapped[:, 1], before[:, 1])
    np.testing.assert_allclose(unit_vector(wrapped), unit_vector(before), atol=1e-12)
    np.testing.assert_array_equal(lonlat, before)  # the caller's array stays as it was
    np.testing.assert_array_equal(check_lonlat(wrapped), wrapped)


def test_edges_of_the_range():
    lonlat = np.array([[-180.0, -90.0], [180.0, 90.0], [360.0, 0.0]])
    np.testing.assert_array_equal(check_lonlat(lonlat), [[-180, -90], [180, 90], [0, 0]])


@pytest.mark.parametrize(
    ("lon", "lat"),
    [(8.5, 47.4), ([8.5], [47.4]), ((8.5,), (47.4,)), (np.float32(8.5), np.float64(47.4))],
)
def test_scalars_and_sequences_are_one_place(lon, lat):
    np.testing.assert_array_equal(check_lonlat(lon, lat), [[8.5, 47.4]])


def test_a_single_pair_is_one_row():
    np.testing.assert_array_equal(check_lonlat([8.5, 47.25]), [[8.5, 47.25]])


@given(places(), st.data(), st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 1))
def test_missing_values_name_their_row(lonlat, data, value, column):
    row = data.draw(st.integers(0, len(lonlat) - 1))
    lonlat[row, column] = value
    with pytest.raises(CoordinateError, match=rf"finite.*row {row} .*=(nan|-?inf)"):
        check_lonlat(lonlat)


@pytest.mark.parametrize(
    "lon",
    [
        np.ma.masked_array([1.0, 2.0], mask=[False, True]),
        np.ma.masked_array([1, 2], mask=[False, True]),
        [np.ma.masked_array(1.0), np.ma.masked],
        (1.0, np.ma.masked),
        [1.0, None],
        [1.0, pd.NA],
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, pd.NA], dtype=object),
        pd.Series([1.0, None], dtype="double[pyarrow]"),
        pyarrow.array([1, None]),
        pyarrow.chunked_array([[1.0], [None]]),
    ],
)
def test_masked_and_null_coordinates_are_missing(lon):
    with pytest.raises(CoordinateError, match=r"finite.*row 1 .*lon=nan"):
        check_lonlat(lon, [3.0, 4.0])
    with pytest.raises(CoordinateError, match=r"finite.*row 1 .*lat=nan"):
        check_lonlat([3.0, 4.0], lon)


def test_a_masked_pair_is_missing():
    pairs = np.ma.masked_array(np.ones((3, 2)), mask=[[0, 0], [0, 1], [0, 0]])
    for lonlat in (pairs, list(pairs), pd.DataFrame(pairs.tolist(), dtype="Float64")):
        with pytest.raises(CoordinateError, match=r"finite.*row 1 .*lat=nan"):
            check_lonlat(lonlat)
    with pytest.raises(CoordinateError, match=r"finite"):
        check_lonlat(np.ma.masked, 1.0)


def test_values_without_a_mask_pass_a_masked_array():
    lonlat = np.ma.masked_array([[8.5, 47.25]], mask=False)
    assert type(check_lonlat(lonlat)) is np.ndarray
    np.testing.assert_array_equal(check_lonlat(lonlat), [[8.5, 47.25]])


def test_rows_of_a_later_part_keep_their_numbers():
    with pytest.raises(CoordinateError, match=r"row 11 \(the first of 1 such in 2 from row 10\)"):
        check_lonlat([0, 0], [0, 91], first_row=10)


@given(places(), st.data(), st.floats(90.001, 1e6), st.sampled_from([-1, 1]))
def test_latitudes_out_of_range_name_their_row(lonlat, data, excess, sign):
    row = data.draw(st.integers(0, len(lonlat) - 1))
    lonlat[row, 1] = sign * excess
    with pytest.raises(CoordinateError, match=rf"lat must lie in \[-90, 90\].*row {row} "):
        check_lonlat(lonlat)


@given(places(), st.data(), st.one_of(st.floats(360.001, 1e6), st.floats(-1e6, -180.001)))
def test_longitudes_out_of_range_name_their_row(lonlat, data, lon):
    row = data.draw(st.integers(0, len(lonlat) - 1))
    lonlat[row, 0] = lon
    with pytest.raises(CoordinateError, match=rf"lon must lie in .*row {row} "):
        check_lonlat(lonlat)


def test_the_first_of_several_bad_rows_is_named_and_they_are_counted():
    with pytest.raises(CoordinateError, match=r"row 1 \(the first of 2 such in 4\)"):
        check_lonlat([0, 0, 0, 0], [0, 91, 0, -91])


def test_swapped_columns_are_pointed_out_only_where_they_could_be():
    with pytest.raises(CoordinateError, match="swapped"):
        check_lonlat([47.4, -33.4], [108.5, -70.7])  # each lon could be a lat
    with pytest.raises(CoordinateError) as caught:
        check_lonlat([147.4, -33.4], [108.5, -70.7])
    assert "swapped" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ([1, 2, 3],),
        (np.zeros((4, 3)),),
        (np.zeros((2, 2, 2)),),
        ([0, 1], [0]),
        (np.zeros((2, 2)), np.zeros((2, 2))),
    ],
)
def test_other_shapes_are_refused_with_the_shape_found(arguments):
    with pytest.raises(CoordinateError) as caught:
        check_lonlat(*arguments)
    assert str(np.shape(arguments[0])) in str(caught.value)


@pytest.mark.parametrize("lon", ["east", [None, "x"], [[1, 2], [3]], object()])
def test_what_is_no_number_is_refused(lon):
    with pytest.raises(CoordinateError):
        check_lonlat(lon, lon)
    with pytest.raises(CoordinateError):
        check_lonlat(lon)


@given(places())
def test_unit_vectors_lie_on_the_sphere_and_read_back(lonlat):
    vectors = unit_vector(lonlat)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-12)
    # arcsin loses half the digits at the poles, atan2 does not.
    lat = np.degrees(np.arctan2(vectors[:, 2], np.hypot(vectors[:, 0], vectors[:, 1])))
    np.testing.assert_allclose(lat, lonlat[:, 1], atol=1e-9)


@given(places(), st.floats(-180, 180))
def test_turning_the_globe_turns_the_vectors(lonlat, degrees):
    turned = lonlat + np.array([degrees, 0])
    expected = unit_vector(lonlat) @ rotation(degrees).T
    np.testing.assert_allclose(unit_vector(turned), expected, atol=1e-12)


def test_the_axes_of_the_unit_sphere():
    axes = unit_vector(np.array([[0.0, 0.0], [90.0, 0.0], [-77.0, 90.0]]))
    np.testing.assert_allclose(axes, np.eye(3), atol=1e-15)


@given(places(east=179.9), st.sampled_from([0.25, 1.0, 7.0, 10.0, 11.5, 90.0]))
def test_a_block_is_one_cell_of_the_grid(lonlat, degrees):
    """Points share a block exactly when they share row and column of the grid."""
    blocks = block_of(lonlat, degrees)
    assert blocks.dtype == np.int64
    columns = np.floor((lonlat[:, 0] + 180) / degrees)
    last_row = np.ceil(180 / degrees) - 1  # it holds the north pole
    rows = np.minimum(np.floor((lonlat[:, 1] + 90) / degrees), last_row)
    same_cell = (columns[:, None] == columns) & (rows[:, None] == rows)
    np.testing.assert_array_equal(blocks[:, None] == blocks, same_cell)


def test_blocks_do_not_depend_on_the_company():
    lonlat = np.array([[-180.0, -90.0], [180.0, -90.0], [0.0, 0.0], [9.99, 9.99], [180.0, 90.0]])
    blocks = block_of(lonlat, 10.0)
    np.testing.assert_array_equal(blocks, [0, 0, 9 * 36 + 18, 9 * 36 + 18, 17 * 36])
    for point, block in zip(lonlat, blocks, strict=True):
        assert block_of(point[None], 10.0)[0] == block
