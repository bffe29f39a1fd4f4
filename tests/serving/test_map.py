"""`map`: georeferenced pixels whose colours follow the embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from PIL import Image

from earth_embed.coordinates import unit_vector
from earth_embed.errors import DataError, EarthEmbedError
from earth_embed.serving.map import embedding_map

# rasterio 1.4 multiplies transforms the way that affine 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


class Stretched:
    """The unit vector with x, y, z of different spread: the components are ±x, ±y, ±z."""

    dim = 5

    def __call__(self, lonlat: np.ndarray) -> np.ndarray:
        axes = unit_vector(lonlat) * np.array([3.0, 2.0, 1.0])
        return np.pad(axes, ((0, 0), (1, 1)), constant_values=7).astype(np.float32)


class Counting(Stretched):
    largest = total = 0

    def __call__(self, lonlat: np.ndarray) -> np.ndarray:
        self.largest = max(self.largest, len(lonlat))
        self.total += len(lonlat)
        return super().__call__(lonlat)


def bands(path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return np.moveaxis(dataset.read(), 0, -1)


@pytest.fixture(scope="module")
def tiff(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.tif"
    embedding_map(Stretched(), path, resolution=2)
    return path


def test_geotiff_is_georeferenced(tiff):
    with rasterio.open(tiff) as dataset:
        assert dataset.crs.to_epsg() == 4326
        assert dataset.dtypes == ("uint8",) * 3
        assert (dataset.width, dataset.height) == (180, 90)
        assert dataset.bounds == (-180, -90, 180, 90)
        assert dataset.xy(0, 0) == (-179, 89)
        assert dataset.nodata == 0
        assert dataset.read().min() > 0


def test_colours_are_the_encoders_at_the_pixel_centres(tiff):
    """Each band must be one axis of the sphere: monotone in it, clipped at 2 % of the area."""
    with rasterio.open(tiff) as dataset:
        rows, columns = np.indices(dataset.shape)
        lon, lat = rasterio.transform.xy(dataset.transform, rows.ravel(), columns.ravel())
    axes = unit_vector(np.stack([lon, lat], axis=1))
    for axis, band in zip(axes.T, bands(tiff).reshape(-1, 3).T, strict=True):
        # On the sphere each axis is uniform over [−1, 1] (Archimedes), so that its 2nd and 98th
        # percentiles are ±0.96.
        expected = 140 + 100 * np.clip(axis / 0.96, -1, 1)
        np.testing.assert_allclose(band, expected, atol=1.5)


def test_png_shows_the_same_pixels(tiff):
    png = tiff.with_name("map.png")
    embedding_map(Stretched(), png, resolution=2, coastlines=False)
    with Image.open(png) as image:
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), bands(tiff))


def test_a_rotated_embedding_gives_the_same_map_up_to_sign(tiff, rng):
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0].astype(np.float32)

    class Rotated(Stretched):
        def __call__(self, lonlat):
            return super().__call__(lonlat) @ rotation

    path = tiff.with_name("rotated.tiff")
    embedding_map(Rotated(), path, resolution=2)
    offset, turned = bands(tiff).astype(int) - 140, bands(path).astype(int) - 140
    np.testing.assert_allclose(np.abs(turned), np.abs(offset), atol=2)


def test_a_component_without_variance_stays_flat(tmp_path):
    class Plane(Stretched):
        def __call__(self, lonlat):
            noise = 1e-6 * np.sin(np.arange(len(lonlat)) ** 2)
            x, y, _ = unit_vector(lonlat).T
            return np.stack([2 * x, y, noise, noise, noise], axis=1).astype(np.float32)

    embedding_map(Plane(), tmp_path / "map.tif", resolution=5)
    spread = np.ptp(bands(tmp_path / "map.tif").reshape(-1, 3).astype(int), axis=0)
    assert spread[0] == spread[1] == 200
    assert spread[2] <= 2


def test_the_globe_is_embedded_in_strips(tmp_path):
    encoder = Counting()
    embedding_map(encoder, tmp_path / "map.tif", resolution=0.5)
    assert encoder.total == 20_000 + 720 * 360
    assert encoder.largest <= 65_536


def test_coastlines_and_oceans(tmp_path):
    pictures = {}
    for name, options in {
        "plain": {"coastlines": False},
        "coast": {},
        "land": {"coastlines": False, "land_only": True},
    }.items():
        embedding_map(Stretched(), tmp_path / f"{name}.png", resolution=1, **options)
        with Image.open(tmp_path / f"{name}.png") as image:
            pictures[name] = np.asarray(image).astype(int)

    def at(lon, lat):
        return int(90 - lat), int(lon + 180)

    changed = (pictures["coast"] != pictures["plain"]).any(axis=-1)
    assert 0.02 < changed.mean() < 0.2
    assert (pictures["coast"] <= pictures["plain"]).all()  # ink darkens
    for inland_or_ocean in ((20.5, 25.5), (-140.5, 0.5), (100.5, 60.5)):
        assert not changed[at(*inland_or_ocean)]
    assert changed[90 - 56 : 90 - 40, at(-9.5, 50)[1] : at(0, 50)[1]].any()  # Brittany, Cornwall

    ocean = pictures["land"][at(-140.5, 0.5)]
    np.testing.assert_array_equal(pictures["land"][at(-30.5, -40.5)], ocean)
    assert (pictures["land"][at(20.5, 25.5)] != ocean).any()
    # The components are fit on land alone, so its colours reach both ends there.
    land = pictures["land"][(pictures["land"] != ocean).any(axis=-1)]
    assert land.min() == 40
    assert land.max() == 240

    embedding_map(Stretched(), tmp_path / "land.tif", resolution=1, land_only=True)
    with rasterio.open(tmp_path / "land.tif") as dataset:
        blank = ~dataset.dataset_mask().astype(bool)
    np.testing.assert_array_equal(blank, (pictures["land"] == ocean).all(axis=-1))


@pytest.mark.parametrize("name", ["map.jpg", "map", "map.png.zip"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"written as \.png or \.tif or \.tiff, not"):
        embedding_map(Stretched(), tmp_path / name)


@pytest.mark.parametrize("resolution", [0, -1, 0.7, 200, float("nan"), float("inf")])
def test_resolutions_that_leave_a_ragged_edge_are_refused(tmp_path, resolution):
    with pytest.raises(DataError, match=r"resolution = .*: expected a divisor of 180°"):
        embedding_map(Stretched(), tmp_path / "map.png", resolution=resolution)


def test_too_few_dimensions_are_refused(tmp_path):
    encoder = Stretched()
    encoder.dim = 2
    with pytest.raises(DataError, match="the encoder's D is 2"):
        embedding_map(encoder, tmp_path / "map.png")


@pytest.mark.parametrize("name", ["map.png", "map.tif"])
def test_an_unwritable_place_is_found_before_the_work(tmp_path, name):
    encoder = Counting()
    with pytest.raises(EarthEmbedError, match=r"cannot write .*No such file or directory"):
        embedding_map(encoder, tmp_path / "absent" / name)
    assert encoder.total == 0
