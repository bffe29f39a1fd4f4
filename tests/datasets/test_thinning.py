"""Thinning: cells of equal area, at most so many rows of each, and whole cells left out."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earth_embed.cells import cell_of, grid_of
from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.datasets.preparation.index import Index, Thinning
from earth_embed.datasets.preparation.prepare import Work, prepare_from_files
from earth_embed.datasets.s2_100k import S2100k
from earth_embed.errors import ConfigError, CoordinateError, DataError
from tests.conftest import random_places
from tests.datasets.chips import shards, write_index, write_source

COUNT = 400


@pytest.fixture
def index(rng):
    """Rows that crowd at some places, as photographs do."""
    towns = random_places(rng, 20)[rng.integers(0, 20, COUNT)]
    lonlat = np.clip(towns + rng.normal(scale=0.3, size=towns.shape), -90, 90)
    return Index(list(range(COUNT)), lonlat.astype(np.float32), Counter({"without a place": 3}))


@given(st.floats(0.1, 5000))
def test_cells_have_the_area_asked_for(km):
    columns, rows = grid_of(km)
    area = 4 * np.pi * EARTH_RADIUS_KM**2 / (columns * rows)
    np.testing.assert_allclose(area, km**2, rtol=0.5 / columns)


def test_cells_of_25_km_are_those_of_the_splits(rng):
    assert grid_of(25.0) == (1600, 510)
    lonlat = random_places(rng, 100)
    np.testing.assert_array_equal(cell_of(lonlat), cell_of(lonlat, 25.0))


@given(st.integers(1, 12), st.sampled_from([10.0, 25.0, 300.0]), st.integers(0, 9))
def test_a_cap_keeps_as_many_as_it_says_of_each_cell(cap, km, seed):
    lonlat = random_places(np.random.default_rng(1), 300) / [60, 60]
    index = Index(list(range(300)), lonlat.astype(np.float32))
    thinned = Thinning(cap=cap, cell_km=km, seed=seed).thin(index)
    before = Counter(cell_of(index.lonlat, km).tolist())
    after = Counter(cell_of(thinned.lonlat, km).tolist())
    assert after == {cell: min(count, cap) for cell, count in before.items()}
    assert thinned.skipped.total() == 300 - len(thinned.keys)
    np.testing.assert_array_equal(thinned.lonlat, index.lonlat[thinned.keys])
    assert thinned.keys == sorted(thinned.keys)


def test_a_smaller_cap_keeps_a_part_and_another_seed_others(index):
    kept = {cap: set(Thinning(cap=cap).thin(index).keys) for cap in (2, 5)}
    assert kept[2] < kept[5]
    assert set(Thinning(cap=2, seed=1).thin(index).keys) != kept[2]


def test_each_row_is_as_likely_as_the_others():
    index = Index(list(range(8)), np.zeros((8, 2), np.float32))
    drawn = Counter(Thinning(cap=1, seed=seed).thin(index).keys[0] for seed in range(800))
    assert sorted(drawn) == list(range(8))
    assert 60 < min(drawn.values()) <= max(drawn.values()) < 140  # of 100, ± 4 σ


def test_excluded_cells_are_left_out_before_the_cap_counts(index, tmp_path):
    table = tmp_path / "evaluation.csv"
    places = index.lonlat[:3]
    table.write_text("lat,lon\n" + "".join(f"{lat},{lon}\n" for lon, lat in places))
    thinned = Thinning(exclude_cells=table, cap=4).thin(index)
    gone = set(cell_of(places).tolist())
    assert not gone & set(cell_of(thinned.lonlat).tolist())
    excluded = sum(cell in gone for cell in cell_of(index.lonlat).tolist())
    assert thinned.skipped == {
        "without a place": 3,
        "in an excluded cell": excluded,
        "over the cap of a cell": COUNT - excluded - len(thinned.keys),
    }
    assert set(cell_of(thinned.lonlat)) == set(cell_of(index.lonlat)) - gone


def test_equal_places_at_the_edge_of_a_cell_are_excluded(tmp_path):
    edges = np.arange(-170.1, 170, 0.45)  # where every other column of 25 km begins
    (tmp_path / "edges.csv").write_text("lon,lat\n" + "".join(f"{lon},10\n" for lon in edges))
    lonlat = np.stack([edges, np.full_like(edges, 10)], axis=1).astype(np.float32)
    index = Index(list(range(len(edges))), lonlat)
    assert not Thinning(exclude_cells=tmp_path / "edges.csv").thin(index).keys


def test_without_options_all_rows_are_used(index):
    assert Thinning().thin(index) is index
    assert Thinning().fingerprint() == {}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cap", 0, "cap = 0: expected 1 or more"),
        ("cell_km", 0.0, "cell_km = 0.0: expected 0.1 … 5000 km"),
        ("cell_km", float("nan"), "cell_km = nan: expected"),
        ("seed", -1, "seed = -1: expected 0"),
    ],
)
def test_numbers_are_checked(field, value, message):
    with pytest.raises(ConfigError, match=message):
        Thinning(**{field: value})


def test_excluded_places_are_checked(index, tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*nowhere"):
        Thinning(exclude_cells=tmp_path / "nowhere.csv").thin(index)
    (tmp_path / "swapped.csv").write_text("lon,lat\n47,-122\n")
    with pytest.raises(CoordinateError, match="are lon and lat swapped"):
        Thinning(exclude_cells=tmp_path / "swapped.csv").thin(index)


def test_a_thinned_data_set_is_the_same_however_it_is_made(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    lonlat, files = write_source(tmp_path / "published", 8)
    write_index(tmp_path / "published", lonlat.repeat(2, axis=0)[:8], files)  # each place twice
    published = S2100k(tmp_path / "published")
    thinning = Thinning(cap=1, cell_km=10.0)

    def made(name, **work):
        said = prepare_from_files(published, tmp_path / name, Work(**work), thinning=thinning)
        return said.split(":", 1)[1], shards(tmp_path / name)

    one = made("one", workers=1, rows_per_file=2)
    assert one == made("two", workers=2, rows_per_file=2)
    assert one[0].endswith("skipped 4 of 8 rows: 4 over the cap of a cell")
    plan = json.loads((tmp_path / "one/s2_100k/1.0.0/plan.json").read_text())
    assert plan | {"cap": 1, "seed": 0, "cell_km": 10.0} == plan
    other = Thinning(cap=2, cell_km=10.0)
    with pytest.raises(DataError, match=r"expected cap = 1, found 2 \("):
        prepare_from_files(published, tmp_path / "one", Work(rows_per_file=2), thinning=other)
    with pytest.raises(DataError, match="expected cap = 1, found None; seed = 0, found None"):
        prepare_from_files(published, tmp_path / "one", Work(rows_per_file=2))
