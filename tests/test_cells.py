import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv, parquet

from earth_embed.cells import ROLES, cell_of, has_role, is_held_out
from earth_embed.data.features import open_features
from earth_embed.data.tables import open_table
from earth_embed.datasets.builder import PlacesBuilder
from earth_embed.datasets.packaged import draw_on_land, on_land
from earth_embed.datasets.preparation.index import Index
from earth_embed.datasets.preparation.prepare import _cut
from earth_embed.errors import DataError
from earth_embed.features.shards import Shards

COLUMNS, ROWS = 1600, 510  # of the 25 km grid that decides roles and splits, for good
LONLAT = st.tuples(st.floats(-180, 180), st.floats(-90, 90))


def sphere(rng, count):
    """Points uniform on the sphere, from normalised Gaussians."""
    x, y, z = rng.standard_normal((3, count))
    return np.degrees(np.stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))], axis=1))


def cell_centres():
    lon = (np.arange(COLUMNS) + 0.5) / COLUMNS * 360 - 180
    lat = np.degrees(np.arcsin((np.arange(ROWS) + 0.5) / ROWS * 2 - 1))
    return np.stack([np.tile(lon, ROWS), np.repeat(lat, COLUMNS)], axis=1)


def test_cells_are_equal_steps_in_longitude_and_sine_of_latitude():
    # That makes them equal in area (Archimedes) and numbers each exactly once.
    np.testing.assert_array_equal(cell_of(cell_centres()), np.arange(ROWS * COLUMNS))


@given(LONLAT)
def test_every_place_has_exactly_one_role(lonlat):
    point = np.array([lonlat])
    assert 0 <= cell_of(point)[0] < ROWS * COLUMNS
    assert sum(int(has_role(role, point)[0]) for role in ROLES) == 1


def test_both_sides_of_the_antimeridian_are_one_place():
    lat = np.linspace(-90, 90, 181)
    west, east = (np.stack([np.full_like(lat, lon), lat], axis=1) for lon in (-180, 180))
    np.testing.assert_array_equal(cell_of(west), cell_of(east))


def test_roles_and_splits_have_their_shares_and_are_independent():
    cells = cell_centres()
    held_out = is_held_out(cells)
    for role in ROLES:
        mine = has_role(role, cells)
        # Five standard deviations of a binomial share.
        assert abs(mine.mean() - 1 / 4) < 5 * np.sqrt(1 / 4 * 3 / 4 / len(cells))
        assert abs(held_out[mine].mean() - 0.1) < 5 * np.sqrt(0.1 * 0.9 / mine.sum())


def test_neighbouring_cells_are_dealt_independently():
    mine = has_role("toponyms", cell_centres()).reshape(ROWS, COLUMNS)
    for neighbour in (np.roll(mine, 1, axis=1), np.roll(mine, 1, axis=0)):
        assert abs((mine & neighbour).mean() - 1 / 16) < 5 * np.sqrt(1 / 16 / mine.size)


def edges(rng, count):
    """Float64 places within 1e-6° of an edge of their cell, in longitude, in latitude or both."""
    lon = rng.integers(0, COLUMNS + 1, count) / COLUMNS * 360 - 180
    lat = np.degrees(np.arcsin(rng.integers(0, ROWS + 1, count) / ROWS * 2 - 1))
    near = np.stack([lon, lat], axis=1) + rng.uniform(-1e-6, 1e-6, (count, 2))
    elsewhere = sphere(rng, count)
    kind = rng.integers(0, 3, count)
    near[kind == 0, 0], near[kind == 1, 1] = elsewhere[kind == 0, 0], elsewhere[kind == 1, 1]
    return near.clip([-180, -90], [180, 90])


def test_tables_features_and_data_sets_hold_out_the_same_places(rng, tmp_path):
    """The rule is one, also where float64 and float32 place a point in different cells."""
    lonlat = np.concatenate([sphere(rng, 50_000), edges(rng, 50_000)])
    assert (cell_of(lonlat) != cell_of(lonlat.astype(np.float32))).sum() > 1000
    expected = is_held_out(lonlat)
    stored = lonlat.astype(np.float32)

    table = pyarrow.table({"lon": lonlat[:, 0], "lat": lonlat[:, 1]})
    csv.write_csv(table, tmp_path / "places.csv")
    parquet.write_table(table, tmp_path / "places.parquet")
    shards = Shards(tmp_path / "cache", {"rows": len(stored), "views": 1, "dim": 1}, 1)
    with shards.begun():
        shards.save(0, stored[:, None], stored[:, None, :1])
        shards.finish()
    splits = PlacesBuilder.splits_of(None, stored)
    pieces = _cut("some", Index(range(len(stored)), stored), 4096)

    for split, members in (("train", ~expected), ("validation", expected)):
        rows = np.flatnonzero(members)
        for name in ("places.csv", "places.parquet"):
            found = open_table(tmp_path / name, "lat", split, 1)
            np.testing.assert_array_equal(found.rows, rows, err_msg=name)
        found = open_features(tmp_path / "cache" / "features.json", "features", split)
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_array_equal(splits[split], members)
        keys = [row.key for piece in pieces if piece.split == split for row in piece.rows]
        np.testing.assert_array_equal(keys, rows)


def test_an_unknown_role_is_refused():
    with pytest.raises(DataError, match=r"no role 'sentinel'.*blue_marble"):
        has_role("sentinel", np.zeros((1, 2)))


def test_land_is_what_the_package_says(rng):
    from global_land_mask import globe

    corners = [[180, 90], [-180, 90], [180, -90], [-180, -90], [0, 0]]
    lonlat = np.concatenate([sphere(rng, 200_000), corners])
    np.testing.assert_array_equal(on_land(lonlat), globe.is_land(lonlat[:, 1], lonlat[:, 0]))


def test_draws_are_on_land_in_their_cells():
    lonlat = draw_on_land("linke_turbidity", 5_000, seed=3, south=-60)
    assert lonlat.shape == (5_000, 2)
    assert lonlat.dtype == np.float32
    assert on_land(lonlat).all()
    assert has_role("linke_turbidity", lonlat).all()
    assert lonlat[:, 1].min() >= -60
    assert len(np.unique(lonlat, axis=0)) == 5_000


def test_draws_are_a_function_of_role_and_seed():
    few, many = (draw_on_land("blue_marble", count, seed=0) for count in (100, 1_000))
    np.testing.assert_array_equal(few, many[:100])
    other_seed = draw_on_land("blue_marble", 1_000, seed=1)
    assert not {tuple(place) for place in many} & {tuple(place) for place in other_seed}


def test_draws_are_uniform_by_area(rng):
    # Against independent points on the sphere: the land's share of each 10° of latitude and 30° of
    # longitude, in standard deviations of the difference of two multinomials.
    drawn = draw_on_land("blue_marble", 20_000, seed=0)
    reference = sphere(rng, 200_000)
    reference = reference[on_land(reference)]
    for axis, edges in ((0, np.arange(-180, 181, 30)), (1, np.arange(-90, 91, 10))):
        shares = [np.histogram(p[:, axis], edges)[0] / len(p) for p in (drawn, reference)]
        spread = np.sqrt(shares[1] * (1 / len(drawn) + 1 / len(reference)))
        assert (np.abs(shares[0] - shares[1]) <= 5 * spread).all()
