"""A raster's pixel at a place is the one that pyproj and arithmetic by hand find."""

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from earth_embed.datasets.packaged import nearest
from earth_embed.errors import DataError
from earth_embed.tasks.rasters import NO_DATA, OUTSIDE, pixels_at

GLOBE = (-180, -90, 180, 90)


def write(path, pixels, transform=None, crs="EPSG:4326", nodata=None, bounds=GLOBE):
    bands = pixels[None] if pixels.ndim == 2 else pixels
    count, height, width = bands.shape
    left, bottom, right, top = bounds
    steps = (right - left) / width, (bottom - top) / height
    transform = transform or Affine(steps[0], 0, left, 0, steps[1], top)
    profile = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(
        path, "w", driver="GTiff", transform=transform, crs=crs, nodata=nodata, **profile
    ) as raster:
        raster.write(bands)
    return path


@pytest.fixture(scope="module")
def globe(tmp_path_factory):
    pixels = np.random.default_rng(0).permutation(36 * 72).reshape(36, 72).astype(np.int32)
    return pixels, write(tmp_path_factory.mktemp("globe") / "globe.tif", pixels)


# Whole degrees that are multiples of 5 lie on an edge, where both rasters must still agree.
lons = st.integers(-179, 179)
lats = st.integers(-89, 89)


@settings(max_examples=40)
@given(lonlat=npst.arrays(np.float64, (20, 2), elements=st.floats(0.01, 0.99)))
def test_a_raster_of_the_globe_has_the_pixel_of_plain_arithmetic(globe, lonlat):
    pixels, path = globe
    lonlat = lonlat * [360, 180] - [180, 90]
    step = 5.0
    on_an_edge = (np.abs((lonlat / step) - np.round(lonlat / step)) < 1e-9).any(axis=1)
    found = pixels_at(path, 1, lonlat)
    assert (found.fault == "").all()
    expected = nearest(pixels, lonlat)
    np.testing.assert_array_equal(found.values[~on_an_edge], expected[~on_an_edge])


@pytest.mark.parametrize(
    ("crs", "origin", "size"),
    [
        ("EPSG:32633", (300_000, 5_300_000), 1000),
        ("EPSG:3035", (4_300_000, 3_000_000), 5000),
        ("ESRI:54009", (-3_000_000, 1_000_000), 20_000),
        ("EPSG:3031", (-1_000_000, 1_500_000), 25_000),  # the South Pole lies inside
        ("EPSG:3857", (-20_037_508, 2_000_000), 100_000),
    ],
)
def test_pixel_centres_brought_to_degrees_by_pyproj_find_their_pixels(tmp_path, crs, origin, size):
    pixels = np.arange(30 * 40, dtype=np.float32).reshape(30, 40)
    transform = Affine(size, 0, origin[0], 0, -size, origin[1])
    path = write(tmp_path / "a.tif", pixels, transform, crs)
    row, column = np.indices(pixels.shape).reshape(2, -1)
    x, y = origin[0] + (column + 0.5) * size, origin[1] - (row + 0.5) * size
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    found = pixels_at(path, 1, np.stack(to_degrees.transform(x, y), axis=1))
    assert (found.fault == "").all()
    np.testing.assert_array_equal(found.values, pixels.ravel())


def test_a_rotated_raster_is_inverted(tmp_path):
    pixels = np.arange(12, dtype=np.int16).reshape(3, 4)
    cosine, sine = np.cos(0.5), np.sin(0.5)
    transform = Affine(2 * cosine, 2 * sine, 10, 2 * sine, -2 * cosine, 20)
    path = write(tmp_path / "a.tif", pixels, transform)
    row, column = np.indices(pixels.shape).reshape(2, -1)
    x = transform.a * (column + 0.5) + transform.b * (row + 0.5) + transform.c
    y = transform.d * (column + 0.5) + transform.e * (row + 0.5) + transform.f
    np.testing.assert_array_equal(pixels_at(path, 1, np.stack([x, y], 1)).values, pixels.ravel())


def test_no_data_nan_and_outside_are_told_apart(tmp_path):
    pixels = np.array([[1.0, np.nan], [-9999.0, 4.0]], np.float32)
    path = write(tmp_path / "a.tif", pixels, nodata=-9999, bounds=(0, 0, 20, 20))
    lonlat = np.array([[5, 15], [15, 15], [5, 5], [15, 5], [25, 5], [-1, 5], [5, -1.0]])
    found = pixels_at(path, 1, lonlat)
    assert found.fault.tolist() == ["", NO_DATA, NO_DATA, "", OUTSIDE, OUTSIDE, OUTSIDE]
    np.testing.assert_array_equal(found.values[found.fault == ""], [1, 4])


@given(lonlat=st.lists(st.tuples(lons, lats), min_size=1, max_size=8))
@settings(max_examples=25)
def test_a_raster_of_0_to_360_agrees_with_one_of_180_to_180(globe, tmp_path_factory, lonlat):
    pixels, path = globe
    turned = tmp_path_factory.mktemp("turned") / "turned.tif"
    write(turned, np.roll(pixels, 36, axis=1), bounds=(0, -90, 360, 90))
    for places in (np.array(lonlat, float), np.array([[-180.0, 3], [180, 3], [0, -90], [0, 90]])):
        one, other = pixels_at(path, 1, places), pixels_at(turned, 1, places)
        assert (one.fault == "").all()
        np.testing.assert_array_equal(one.values, other.values)


def test_both_names_of_the_antimeridian_are_one_place(globe):
    values = pixels_at(globe[1], 1, np.array([[-180.0, 12], [180.0, 12]])).values
    assert values[0] == values[1] == globe[0][15, 0]


def test_bands_scale_and_offset(tmp_path):
    bands = np.stack([np.full((2, 4), 7, np.int16), np.full((2, 4), 2881, np.int16)])
    path = write(tmp_path / "a.tif", bands)
    with rasterio.open(path, "r+") as raster:
        raster.scales, raster.offsets = (1.0, 0.1), (0.0, -273.15)
    place = np.array([[10.0, 10.0]])
    first, second = pixels_at(path, 1, place), pixels_at(path, 2, place)
    assert (first.values.dtype, first.values[0]) == (np.int16, 7)
    assert second.values[0] == pytest.approx(14.95)
    with pytest.raises(DataError, match=r"a band of 1\.\.2, found 3"):
        pixels_at(path, 3, place)


def test_an_image_of_the_globe_needs_no_georeference_if_it_is_twice_as_wide_as_high(tmp_path, rng):
    pixels = rng.integers(0, 30, (18, 36)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    lonlat = np.stack([rng.uniform(-180, 180, 50), rng.uniform(-90, 90, 50)], axis=1)
    found = pixels_at(tmp_path / "a.png", 1, lonlat)
    np.testing.assert_array_equal(found.values, nearest(pixels, lonlat))
    assert "taken as the globe" in found.note
    Image.fromarray(pixels[:17]).save(tmp_path / "b.png")
    with pytest.raises(DataError, match="twice as wide as high; found 36 × 17"):
        pixels_at(tmp_path / "b.png", 1, lonlat)


def test_extents_without_a_crs_are_degrees_or_refused(tmp_path):
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 4)
    path = write(tmp_path / "a.tif", pixels, crs=None)
    assert pixels_at(path, 1, np.array([[100.0, -45.0]])).values == 7
    assert pixels_at(path, 1, np.array([[100.0, -45.0]])).note == "no CRS: taken as degrees"
    path = write(tmp_path / "b.tif", pixels, crs=None, bounds=(3e5, 5e6, 4e5, 5.1e6))
    with pytest.raises(DataError, match=r"b\.tif has no CRS.*x 300000\.\.400000"):
        pixels_at(path, 1, np.array([[100.0, -45.0]]))


def test_missing_and_damaged_files_are_one_error(tmp_path):
    with pytest.raises(DataError, match="no such raster"):
        pixels_at(tmp_path / "none.tif", 1, np.zeros((1, 2)))
    (tmp_path / "bad.tif").write_bytes(b"no raster")
    with pytest.raises(DataError, match=r"cannot read .*bad\.tif"):
        pixels_at(tmp_path / "bad.tif", 1, np.zeros((1, 2)))


VIRTUAL = """<VRTDataset rasterXSize="8" rasterYSize="4">
  <GeoTransform>-180, 45, 0, 90, 0, -45</GeoTransform><SRS>EPSG:4326</SRS>
  <VRTRasterBand dataType="Byte" band="1"><SimpleSource>
    <SourceFilename relativeToVRT="1">{}</SourceFilename><SourceBand>1</SourceBand>
  </SimpleSource></VRTRasterBand>
</VRTDataset>"""


@pytest.mark.parametrize("name", ["a.tif", "a.tiff", "a.png"])
def test_contents_of_another_format_reach_no_other_driver(tmp_path, name):
    write(tmp_path / "real.tif", np.arange(32, dtype=np.uint8).reshape(4, 8))
    (tmp_path / "real.vrt").write_text(VIRTUAL.format("real.tif"))
    assert pixels_at(tmp_path / "real.vrt", 1, np.array([[-100.0, 50.0]])).values == 1
    (tmp_path / "nested.vrt").write_text(VIRTUAL.format("real.vrt"))
    assert pixels_at(tmp_path / "nested.vrt", 1, np.array([[-100.0, 50.0]])).values == 1
    (tmp_path / name).write_text(VIRTUAL.format("real.tif"))
    with pytest.raises(DataError, match=rf"cannot read .*{name} as (GTiff|PNG): "):
        pixels_at(tmp_path / name, 1, np.zeros((1, 2)))


@pytest.mark.parametrize(
    "source",
    [
        "/vsicurl/http://localhost:9/a.tif",
        "http://localhost:9/a.tif",
        "&#47;vsizip/a.zip/a.tif",
        "PLMosaic:api_key=a,mosaic=b",
        "none.tif",
    ],
)
def test_a_virtual_raster_names_files_of_this_machine_alone(tmp_path, source):
    (tmp_path / "a.vrt").write_text(VIRTUAL.format(source))
    with pytest.raises(DataError, match=r"expected a VRT of files on this machine, found '"):
        pixels_at(tmp_path / "a.vrt", 1, np.zeros((1, 2)))
    (tmp_path / "b.tif").write_text(VIRTUAL.format(source))
    (tmp_path / "a.vrt").write_text(VIRTUAL.format("b.tif"))
    with pytest.raises(DataError, match=r"b\.tif: expected a VRT of files on this machine"):
        pixels_at(tmp_path / "a.vrt", 1, np.zeros((1, 2)))
    (tmp_path / "a.vrt").write_text("no XML")
    with pytest.raises(DataError, match=r"cannot read .*a\.vrt as VRT: syntax error"):
        pixels_at(tmp_path / "a.vrt", 1, np.zeros((1, 2)))


def empty(path, height, width, **options):
    """A GeoTIFF of any size without a single block."""
    transform = Affine(360 / width, 0, -180, 0, -180 / height, 90)
    profile = {"dtype": "uint8", "crs": "EPSG:4326", "transform": transform, "sparse_ok": True}
    profile |= {"driver": "GTiff", "height": height, "width": width, "count": 1, **options}
    with rasterio.open(path, "w", **profile):
        return path


def test_a_raster_may_be_large_but_not_its_blocks(tmp_path):
    tiled = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "bigtiff": "yes"}
    places = np.array([[0.0, 0.0], [179.0, -89.0]])
    found = pixels_at(empty(tmp_path / "a.tif", 2_000_000, 4_000_000, **tiled), 1, places)
    assert found.values.tolist() == [0, 0]
    path = empty(tmp_path / "b.tif", 2, 2**29)
    with pytest.raises(DataError, match=r"blocks of at most 268,435,456 pixels, found 1 × 5368"):
        pixels_at(path, 1, places)


def test_numbers_that_are_not_real_and_maps_without_an_inverse_are_refused(tmp_path):
    pixels = np.ones((2, 4), np.complex64)
    with pytest.raises(DataError, match="expected real numbers in band 1, found complex64"):
        pixels_at(write(tmp_path / "a.tif", pixels), 1, np.zeros((1, 2)))
    path = write(tmp_path / "b.tif", pixels.real, transform=Affine(1, 0, 0, 1, 0, 0))
    with pytest.raises(DataError, match="expected a georeference that can be inverted"):
        pixels_at(path, 1, np.zeros((1, 2)))
