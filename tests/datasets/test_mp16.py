"""The data set mp16: photographs of one size from a list and JPEG files, and what is skipped."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from earth_embed.cells import is_held_out
from earth_embed.cli import main
from earth_embed.data.tfds import open_tfds, prepare
from earth_embed.datasets.catalogue import from_files
from earth_embed.datasets.mp16 import Mp16, read_photograph
from earth_embed.datasets.preparation.pieces import Skipped
from earth_embed.datasets.preparation.prepare import Work, prepare_from_files
from earth_embed.errors import ConfigError, CoordinateError, DataError
from tests.conftest import random_places

pytest.importorskip("tensorflow_datasets")

ALONE = Work(workers=1, rows_per_file=8)
SIZE = 64


def write_photograph(path, colours, size=(200, 120), **options):
    """A JPEG of vertical stripes of one width, in these colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.asarray(colours, np.uint8).repeat(size[0] // len(colours), axis=0)
    picture = Image.fromarray(np.tile(stripes, (size[1], 1, 1)))
    picture.save(path, "JPEG", **({"quality": 95} | options))


def write_list(folder, names, lonlat):
    """The published columns and one more, in the published order."""
    rows = [f"{name},{lat},{lon},9" for name, (lon, lat) in zip(names, lonlat, strict=True)]
    (folder / "mp16_places365.csv").write_text("\n".join(["IMG_ID,LAT,LON,S3_Label", *rows]) + "\n")


def write_mp16(folder, count, seed=0):
    """A folder as MP-16 is downloaded, of one grey for each photograph: places, names, greys."""
    rng = np.random.default_rng(seed)
    lonlat = random_places(rng, count).round(6)
    names = [f"{i % 7:02x}/{i % 5:02x}/{9_000_000 + i}.jpg" for i in range(count)]
    greys = rng.integers(0, 256, count)
    for name, grey in zip(names, greys, strict=True):
        write_photograph(folder / "images" / name, [(grey, grey, grey)] * 4)
    write_list(folder, names, lonlat)
    return lonlat, names, greys


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mp16")
    return folder, write_mp16(folder, 30)


def test_every_photograph_stands_once_in_its_split(published, tmp_path):
    folder, (lonlat, _, greys) = published
    where = ["--source", str(folder), "--data-dir", str(tmp_path)]
    how = ["--image-size", str(SIZE), "--workers", "2", "--rows-per-file", "8"]
    main(["prepare", "mp16", *where, *how, "--cap", "30", "--cell-km", "100"])  # all fit in
    stored = lonlat.astype(np.float32)
    held_out = is_held_out(stored)
    for split, members in (("train", ~held_out), ("validation", held_out)):
        source = open_tfds("mp16", "image", split, tmp_path, 1)
        examples = source.gather(np.arange(len(source)))
        np.testing.assert_array_equal(examples["lonlat"], stored[members])
        assert examples["sample"].shape == (members.sum(), SIZE, SIZE, 3)
        assert examples["sample"].dtype == np.uint8
        expected = np.broadcast_to(greys[members, None, None, None], examples["sample"].shape)
        np.testing.assert_allclose(examples["sample"], expected, atol=2)

    prepare_from_files(Mp16(folder, SIZE), tmp_path / "alone", ALONE)
    files = [sorted(root.rglob("mp16-*")) for root in (tmp_path / "mp16", tmp_path / "alone")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def pixels(photograph):
    with Image.open(io.BytesIO(photograph)) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        return np.asarray(image).astype(int)


@pytest.mark.parametrize("size", [(200, 120), (2000, 1200), (120, 200), (64, 64), (80, 72)])
def test_the_middle_is_kept_at_the_size_asked_for(tmp_path, size):
    """Of a wide picture the left and the right go, of a tall one nothing of its stripes."""
    colours = [(250, 10, 10), *[(10, 250, 10)] * 6, (10, 10, 250)]
    write_photograph(tmp_path / "a.jpg", colours, size, subsampling=0)
    picture = pixels(read_photograph(tmp_path / "a.jpg", "a", 32))
    assert picture.shape == (32, 32, 3)
    cut = max(0, size[0] - size[1]) / 2  # pixels at either side; the outer stripes are red, blue
    left, right = ((250, 10, 10), (10, 10, 250)) if cut < size[0] / 8 else [(10, 250, 10)] * 2
    for column, colour in ((0, left), (16, (10, 250, 10)), (31, right)):
        np.testing.assert_allclose(picture[:, column], np.tile(colour, (32, 1)), atol=25)


def test_a_photograph_on_its_side_is_set_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: to be turned by 90° clockwise
    write_photograph(tmp_path / "a.jpg", [(240, 240, 240), (10, 10, 10)], (64, 64), exif=exif)
    picture = pixels(read_photograph(tmp_path / "a.jpg", "a", 64))
    assert picture[:28].min() > 220  # what was left is now up
    assert picture[36:].max() < 30


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_print_colours_become_rgb(tmp_path, mode):
    Image.new("RGB", (400, 300), (120, 120, 120)).convert(mode).save(tmp_path / "a.jpg")
    picture = pixels(read_photograph(tmp_path / "a.jpg", "a", 32))
    np.testing.assert_allclose(picture, np.full((32, 32, 3), 120), atol=3)


def test_rows_and_files_that_cannot_be_used_are_skipped_and_counted(tmp_path, rng):
    lonlat, names, _ = write_mp16(tmp_path, 9)
    images = tmp_path / "images"
    (images / names[0]).unlink()
    (images / names[1]).write_bytes(b"")
    (images / names[2]).write_bytes((images / names[2]).read_bytes()[:-300])
    (images / names[3]).write_bytes(rng.bytes(5000))
    write_photograph(images / names[4], [(0, 0, 0)], (20, 90), quality=100, comment=b"-" * 600)
    noise = rng.integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(images / names[5], "GIF")  # a placeholder by another name
    places = [*lonlat[:6], ("", ""), (3.0, ""), lonlat[8]]
    write_list(tmp_path, names, places)
    said = prepare_from_files(Mp16(tmp_path), tmp_path / "data", ALONE)
    assert said.endswith("skipped 8 of 9 rows: 3 broken, 1 missing, 2 tiny, 2 without a place")
    info = prepare("mp16", tmp_path / "data").info
    counts = {"missing": 1, "tiny": 2, "broken": 3, "without a place": 2}
    assert info.metadata["skipped"] == counts
    [split] = [name for name, split in info.splits.items() if split.num_examples]
    [place] = open_tfds("mp16", "image", split, tmp_path / "data", 1).gather(np.array([0]))[
        "lonlat"
    ]
    np.testing.assert_array_equal(place, np.float32(lonlat[8]))
    records = [json.loads(path.read_text())["skipped"] for path in tmp_path.rglob("mp16-*.json")]
    assert [found["missing"] for found in records if "missing" in found] == [[names[0]]]


def test_a_photograph_of_a_size_that_no_camera_has_is_not_decoded(tmp_path):
    write_photograph(tmp_path / "a.jpg", [(0, 0, 0), (9, 9, 9)], (64, 64))
    content = (tmp_path / "a.jpg").read_bytes()
    size = content.index(b"\xff\xc0") + 5  # height and width in the header of the frame
    claim = b"\x2e\xe0\x2e\xe0"  # 12,000 × 12,000
    (tmp_path / "b.jpg").write_bytes(content[:size] + claim + content[size + 4 :])
    assert isinstance(read_photograph(tmp_path / "a.jpg", "a", 32), bytes)
    assert read_photograph(tmp_path / "b.jpg", "b", 32) == Skipped("broken", "b")


@pytest.mark.parametrize("name", ["../a.jpg", "00/../../a.jpg", "/home/a.jpg"])
def test_a_list_names_no_file_outside_its_folder(tmp_path, name):
    write_mp16(tmp_path, 2)
    write_list(tmp_path, ["a.jpg", name], [(0, 0), (1, 1)])
    with pytest.raises(DataError, match=rf"row 1 names '{name}'; expected a file below .*images"):
        prepare_from_files(Mp16(tmp_path), tmp_path / "data", ALONE)


def with_swapped_columns(folder):
    (folder / "mp16_places365.csv").write_text("IMG_ID,LAT,LON\na.jpg,-122.4,37.8\n")


def with_two_lists(folder):
    (folder / "other.csv").write_text("IMG_ID,LAT,LON\n")


def without_images(folder):
    (folder / "images").rename(folder / "photos")


def without_names(folder):
    (folder / "mp16_places365.csv").write_text("LAT,LON\n1,2\n")


def without_places(folder):
    (folder / "mp16_places365.csv").write_text("IMG_ID,LAT,LON\na.jpg,,\nb.jpg,,\n")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (with_swapped_columns, CoordinateError, "are lon and lat swapped"),
        (with_two_lists, DataError, "one CSV file.*; found mp16_places365.csv, other.csv"),
        (without_images, DataError, "expected a CSV file and a folder images"),
        (without_names, DataError, "no column 'IMG_ID' of file names; it has LAT, LON"),
        (without_places, DataError, "no row of the index has a file.*2 without a place"),
    ],
)
def test_a_source_that_cannot_be_used_is_one_error(tmp_path, spoil, error, message):
    write_mp16(tmp_path, 2)
    spoil(tmp_path)
    with pytest.raises(error, match=message):
        prepare_from_files(Mp16(tmp_path), tmp_path / "data", ALONE)
    assert not (tmp_path / "data/mp16/1.0.0").exists()


def test_the_size_is_checked_and_part_of_the_plan(published, tmp_path):
    folder, _ = published
    with pytest.raises(ConfigError, match="image_size = 4: expected 8 … 4096 pixels"):
        Mp16(folder, 4)
    with pytest.raises(ConfigError, match="image_size is an option of mp16; s2_100k has no"):
        from_files("s2_100k", Path(), image_size=64)
    prepare_from_files(from_files("mp16", folder, 32), tmp_path, ALONE)
    with pytest.raises(DataError, match="expected image_size = 32, found 256"):
        prepare_from_files(from_files("mp16", folder), tmp_path, ALONE)
