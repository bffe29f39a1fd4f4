"""A user's table as a modality: what is read is what was written, and faults name file and row."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from earth_embed import tablefiles
from earth_embed.config.files import load_experiment
from earth_embed.data.sources import encode_text, open_npy
from earth_embed.data.tables import open_table
from earth_embed.errors import CoordinateError, DataError
from tests.fuzzing import fuzz

COUNT = 200


@pytest.fixture
def places(rng):
    return pd.DataFrame({"lon": rng.uniform(-180, 180, COUNT), "lat": rng.uniform(-90, 90, COUNT)})


def write(folder, frame, name="places.csv"):
    path = folder / name
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, double_precision=15)
    else:
        frame.to_parquet(path)
    return path


def read_all(path, field, split="all", text_bytes=16):
    source = open_table(path, field, split, text_bytes)
    return source.gather(np.arange(len(source)))


def write_image(folder, name, size=(5, 4), mode="RGB", value=0):
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    pixels = np.full((size[1], size[0]), value, np.uint8)
    Image.fromarray(pixels).convert(mode).save(file)
    return name


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".pq"])
def test_numbers_become_float32_columns(tmp_path, places, suffix):
    frame = places.assign(a=np.arange(COUNT), b=np.linspace(0, 1, COUNT))
    path = write(tmp_path, frame, f"places{suffix}")
    examples = read_all(path, "a, b")
    assert examples["sample"].dtype == np.float32
    np.testing.assert_array_equal(examples["sample"], frame[["a", "b"]].to_numpy(np.float32))
    np.testing.assert_allclose(examples["lonlat"], frame[["lon", "lat"]], rtol=1e-6)
    assert examples["lonlat"].dtype == np.float32
    np.testing.assert_array_equal(read_all(path, "b")["sample"], examples["sample"][:, 1:])


def guide(count):
    """Places of a travel guide, as JSON lines: whole and other degrees, lists, missing values."""
    rng = np.random.default_rng(3)
    for number, (lon, lat) in enumerate(rng.uniform(-90, 90, (count, 2)).round(3).tolist()):
        lat = int(lat) if number < count // 2 else lat
        near = [f"Place {n}" for n in range(number % 3)] or None
        text = f"Place {number} – “a town”,\nby the sea."
        yield {"title": f"Place {number}", "lat": lat, "LON": lon, "text": text, "next": near}


@pytest.mark.parametrize("block", [1 << 24, 400])
def test_json_lines_are_a_table_of_texts(tmp_path, monkeypatch, block):
    monkeypatch.setattr(tablefiles, "_BLOCK", block)  # a long file is read in blocks
    rows = list(guide(60))
    path = tmp_path / "guide.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    examples = read_all(path, "text", text_bytes=40)
    texts = [row["text"] for row in rows]
    np.testing.assert_array_equal(examples["sample"], encode_text(texts, 40))
    lonlat = [[row["LON"], row["lat"]] for row in rows]
    np.testing.assert_array_equal(examples["lonlat"], np.float32(lonlat))


@pytest.mark.skipif(
    "EARTH_EMBED_DATA" not in os.environ, reason="EARTH_EMBED_DATA names no folder of real data"
)
def test_real_json_lines():
    path = Path(os.environ["EARTH_EMBED_DATA"]) / "text" / "wikivoyage_places.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    examples = read_all(path, "text", text_bytes=200)
    expected = encode_text([row["text"] for row in rows], 200)
    np.testing.assert_array_equal(examples["sample"], expected)
    lonlat = [[row["lon"], row["lat"]] for row in rows]
    np.testing.assert_array_equal(examples["lonlat"], np.float32(lonlat))


@pytest.mark.parametrize("kind", ["str", "category"])
def test_text_becomes_utf8_bytes(tmp_path, places, kind):
    texts = ["Zürich", "NA", "東京都"] + ["Place"] * (COUNT - 3)
    path = write(tmp_path, places.assign(name=pd.Series(texts, dtype=kind)), "places.parquet")
    np.testing.assert_array_equal(read_all(path, "name")["sample"], encode_text(texts, 16))


@pytest.mark.parametrize("names", [("longitude", "latitude"), ("Lon", "LAT")])
def test_coordinate_columns_by_other_names(tmp_path, places, names):
    frame = places.assign(x=1.0).set_axis([*names, "x"], axis=1)
    examples = read_all(write(tmp_path, frame), "x")
    np.testing.assert_allclose(examples["lonlat"], places, rtol=1e-6)


def test_longitudes_to_360_are_wrapped(tmp_path, places):
    path = write(tmp_path, places.assign(lon=places.lon % 360, x=1.0))
    np.testing.assert_allclose(read_all(path, "x")["lonlat"], places, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_features_from_an_array_file(tmp_path, places, rng, dtype):
    features = (rng.random((COUNT, 3, 2)) * 200).astype(dtype)
    np.save(tmp_path / "features.npy", features)
    path = write(tmp_path, places)
    source = open_table(path, "features.npy", "all", 16)
    indices = np.array([7, 0, 199, 7])
    sample = source.gather(indices)["sample"]
    assert sample.dtype == (dtype if dtype in ("uint8", "uint16") else np.float32)
    np.testing.assert_array_equal(sample, features[indices].astype(sample.dtype))
    assert type(sample) is np.ndarray


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4), ("P", 3)])
def test_images_are_decoded_to_rows_by_columns_by_channels(tmp_path, places, mode, channels):
    names = [write_image(tmp_path, f"img/{i}.PNG", (5, 4), mode, i) for i in range(20)]
    source = open_table(write(tmp_path, places[:20].assign(file=names)), "file", "all", 16)
    indices = np.array([3, 19, 0])
    sample = source.gather(indices)["sample"]
    assert sample.shape == (3, 4, 5, channels)
    assert sample.dtype == np.uint8
    np.testing.assert_array_equal(sample[:, 0, 0, 0], indices)


def test_train_and_validation_share_the_rows_out(tmp_path, places):
    path = write(tmp_path, places.assign(row=np.arange(COUNT)))
    train, validation = (read_all(path, "row", split) for split in ("train", "validation"))
    rows = np.concatenate([train["sample"], validation["sample"]]).ravel()
    np.testing.assert_array_equal(np.sort(rows), np.arange(COUNT))
    held_out = validation["sample"].ravel().astype(int)
    np.testing.assert_allclose(validation["lonlat"], places.iloc[held_out], rtol=1e-6)
    # 200 draws at 10 % leave this range once in 10⁶ hash functions.
    assert 3 <= len(held_out) <= 45


def test_a_place_is_on_one_side_in_every_table(tmp_path, places):
    """Neither other rows, nor their order, nor the field decide where a place goes."""
    again = places.assign(name="x")[::-1]
    again["lon"] += np.where(again.lon < 0, 360, 0)
    first = read_all(write(tmp_path, places.assign(v=1)), "v", "validation")["lonlat"]
    second = read_all(write(tmp_path, again[:150], "b.parquet"), "name", "validation")["lonlat"]
    assert len(second)
    distance = np.abs(second[:, None] - first).max(axis=-1)
    assert (distance.min(axis=1) < 1e-4).all()
    twice = pd.concat([places, places]).assign(v=1)
    assert len(read_all(write(tmp_path, twice, "c.csv"), "v", "validation")["sample"]) == 2 * len(
        first
    )


def test_a_split_without_rows_is_refused(tmp_path):
    path = write(tmp_path, pd.DataFrame({"lon": [8.5, 8.5], "lat": [47.4, 47.4], "v": [1, 2]}))
    sizes = []
    for split in ("train", "validation"):
        try:
            sizes.append(len(open_table(path, "v", split, 16)))
        except DataError as error:
            message = str(error)
    assert sizes == [2]  # one place is all on one side
    assert f"{path}: none of its 2 rows is in split" in message


def test_an_unknown_split_is_refused(tmp_path, places):
    with pytest.raises(DataError, match="'test': expected one of train, validation, all"):
        open_table(write(tmp_path, places), "lon", "test", 16)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.csv", None, "no such table"),
        ("no.xlsx", b"", r"ends in \.csv, \.jsonl, \.parquet"),
        ("no.csv", b"", "cannot read .*Empty CSV"),
        ("no.csv", b"lon,lat,v\n", "has no rows"),
        ("no.csv", b"lon,lat,v\n1,2\n", "cannot read .*Expected 3 columns, got 2"),
        ("no.csv", b"lon,lat,v,v\n1,2,3,4\n", "more than one column named 'v'"),
        ("no.csv", b"x,y,v\n1,2,3\n", "needs columns lon and lat .*it has x, y, v"),
        ("no.csv", b"lon,lat,v\n1,2,\xff\xfe\n", "line 2: it is not UTF-8"),
        ("no.jsonl", b"", "cannot read .*Empty JSON"),
        ("no.jsonl", b'{"lon": 1, "lat": 2, "v": 3\n', "cannot read .*JSON parse error"),
        (
            "no.jsonl",
            b'{"lon":1,"lat":2,"v":"a"}\n{"lon":1,"lat":2}\n',
            "'v' has no value in row 1",
        ),
        ("no.parquet", b"PAR1", "cannot read .*no.parquet"),
        ("no.csv", b"lon,lat,u\n1,2,3\n", "no column 'v'; it has lon, lat, u"),
        ("no.csv", b"lon,lat,v\n1,2,3\n3,4,\n", "'v' has no value in row 1"),
        ("no.csv", b"lon,lat,v\n1,2,3\n3,4,inf\n", "not a finite float32 in row 1"),
        ("no.csv", b"lon,lat,v\n1,2,3\n3,4,1e99\n", "not a finite float32 in row 1"),
        ("no.csv", b"lon,lat,v\n1,2,a\n3,4, \n", "'v' has no text in row 1"),
        ("no.csv", b"lon,lat,v\n1,2,\n3,4,\n", "'v' has no value in row 0"),
        ("no.csv", b"lon,lat,v\n1,2,2020-01-01\n", "'v' holds date32"),
        ("no.csv", b"lon,lat,v\n1,2,a.png\n3,4,b\n", "row 1 has 'b'; expected .png"),
        ("no.csv", b"lon,lat,v\n1,2,a.png\n", "the image 'a.png' of row 0 does not exist"),
    ],
)
def test_faults_of_a_table_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        open_table(path, "v", "all", 16)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lon,lat,v\n1,2,0\n3,,0\n", "finite numbers.*row 1 "),
        (b"lon,lat,v\n1,2,0\n3,97,0\n", r"lat must lie in \[-90, 90\].*row 1 .*lat=97"),
        (b"lon,lat,v\n8.5,147,0\n", "swapped"),
        (b"lon,lat,v\n1,2,0\n3,4N,0\n", "lat must hold degrees as numbers; row 1 has '4N'"),
        (b"lon,lat,v\n2020-01-01,2,0\n", "lon must hold degrees.*row 0 has '2020-01-01'"),
    ],
)
def test_faults_of_coordinates_are_named(tmp_path, content, message):
    path = tmp_path / "places.csv"
    path.write_bytes(content)
    with pytest.raises(CoordinateError, match=message) as caught:
        open_table(path, "v", "all", 16)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((COUNT + 1, 2)), r"shape \(201, 2\); expected \(200, \.\.\.\)"),
        (np.zeros(COUNT), r"shape \(200,\)"),
        (np.zeros((COUNT, 2), complex), "holds complex128; expected uint8, uint16 or floats"),
        (np.full((COUNT, 2), None), "cannot read .*Python objects"),
        (np.where(np.arange(COUNT) == 7, np.nan, 0)[:, None], "not a finite float32 in row 7"),
    ],
)
def test_faults_of_an_array_file_are_named(tmp_path, places, array, message):
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(DataError, match=message) as caught:
        read_all(write(tmp_path, places), "v.npy")
    assert "v.npy" in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((COUNT, 0), np.float32), rf"has shape \({COUNT}, 0\); expected"),
        (np.array({"a": 1}), "Python objects"),
        (np.zeros(COUNT, [("a", "f4")]), "expected uint8, uint16 or floats"),
    ],
)
def test_other_arrays_are_refused(tmp_path, places, array, message):
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        open_table(write(tmp_path, places), "v.npy", "all", 16)


def test_an_npz_is_no_npy(tmp_path, places):
    np.savez(tmp_path / "v.npz", np.zeros((COUNT, 2)))
    (tmp_path / "v.npz").rename(tmp_path / "v.npy")
    with pytest.raises(DataError, match=r"cannot read .*v\.npy: the magic string is not correct"):
        open_table(write(tmp_path, places), "v.npy", "all", 16)


@fuzz(
    400,
    kept=st.floats(0, 1),
    flips=st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), max_size=3),
)
def test_a_damaged_array_file_is_read_as_numpy_reads_it_or_refused(tmp_path, kept, flips):
    whole = io.BytesIO()
    np.save(whole, np.arange(12, dtype=np.float32).reshape(6, 2))
    data = bytearray(whole.getvalue())
    for where, byte in flips:
        data[where] = byte
    path = tmp_path / "v.npy"
    path.write_bytes(data[: round(len(data) * kept)] if not flips else data)
    try:
        found = open_npy(path)
    except DataError:
        return
    with path.open("rb") as file:
        expected = np.load(file, allow_pickle=False)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY garbage"])
def test_a_missing_or_broken_array_file_is_named(tmp_path, places, content):
    if content is not None:
        (tmp_path / "v.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"v\.npy"):
        open_table(write(tmp_path, places), "v.npy", "all", 16)


@pytest.mark.parametrize(
    ("size", "mode", "message"),
    [
        ((4, 4), "RGB", "is 4×4×3; expected 4×5×3, as in row 0"),
        ((5, 4), "L", "is 4×5×1; expected 4×5×3, as in row 0"),
        ((5, 4), "I;16", "pixels of type I;16; expected 8-bit"),
    ],
)
def test_unlike_images_are_named(tmp_path, places, size, mode, message):
    names = [write_image(tmp_path, f"{i}.png") for i in range(2)]
    names.append(write_image(tmp_path, "2.png", size, mode))
    source = open_table(write(tmp_path, places[:3].assign(file=names)), "file", "all", 16)
    source.gather(np.arange(2))
    with pytest.raises(DataError, match=rf"'2\.png' of row 2 .*{message}"):
        source.gather(np.arange(3))


@pytest.fixture(scope="module")
def two_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for name in ("whole.png", "cut.png"):
        Image.fromarray(pixels).save(folder / name)
    frame = pd.DataFrame({"lon": [0, 1], "lat": [0, 1], "v": ["whole.png", "cut.png"]})
    return folder, open_table(write(folder, frame), "v", "all", 16)


@given(st.data())
def test_a_cut_image_is_named_and_never_read_as_noise(two_images, data):
    folder, source = two_images
    whole = (folder / "whole.png").read_bytes()
    kept = data.draw(st.integers(0, len(whole)))
    (folder / "cut.png").write_bytes(whole[:kept])
    try:
        sample = source.gather(np.arange(2))["sample"]
    except DataError as error:
        message = str(error)
    else:  # every pixel was there; only the end mark may be missing
        message = ""
        np.testing.assert_array_equal(sample[1], sample[0])
    assert ("'cut.png' of row 1 cannot be read" in message) or kept > len(whole) - 32
    assert kept < len(whole) or not message


def test_the_documented_example_works(tmp_path, monkeypatch):
    text = Path(__file__).parents[2].joinpath("docs/pages/how-to/tables.md").read_text()
    *scripts, experiment_file = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for script in scripts:
        exec(script, {})
    Path("mydata.py").write_text(experiment_file)
    photos, climate = load_experiment("mydata.py").modalities
    assert photos.is_table
    assert climate.is_table
    for modality, count, shape in ((photos, 1000, (32, 32, 3)), (climate, 1500, (24,))):
        splits = [
            open_table(modality.dataset, modality.field, split, modality.text_bytes)
            for split in ("train", "validation")
        ]
        assert sum(map(len, splits)) == count
        assert splits[1].gather(np.arange(4))["sample"].shape == (4, *shape)
