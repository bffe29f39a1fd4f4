"""The data set wikipedia: articles with a place from format-true dumps, joined by page number."""

import bz2
import gzip
import shutil

import numpy as np
import pytest

from earth_embed.cells import is_held_out
from earth_embed.cli import main
from earth_embed.data.sources import encode_text
from earth_embed.data.tfds import open_tfds, prepare
from earth_embed.datasets.preparation.prepare import Work, prepare_from_files
from earth_embed.datasets.wikipedia import TEXT_CHARACTERS, Wikipedia
from earth_embed.errors import DataError
from tests.conftest import random_places
from tests.datasets.chips import flip_a_bit
from tests.datasets.dumps import geo_row, write_content, write_geo_tags

pytest.importorskip("tensorflow_datasets")

ALONE = Work(workers=1, rows_per_file=8)
COUNT = 40


def articles(numbers, language):
    return {
        number: {
            "title": f"Place {number}",
            "opening_text": f"{language}: Place {number} – a “town” of Übersee.",
            "text": "never used",
        }
        for number in numbers
    }


def write_dumps(folder, seed=0):
    """English in two files of today's kind, German in one of the old kind: places by article."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    places = {}
    for language, numbers in (("en", range(100, 100 + COUNT)), ("de", range(1, 11))):
        lonlat = random_places(rng, len(numbers)).round(8)
        rows = [
            geo_row(i, n, lat, lon)
            for i, (n, (lon, lat)) in enumerate(zip(numbers, lonlat, strict=True))
        ]
        write_geo_tags(folder, rows, f"{language}wiki")
        places |= {(language, n): place for n, place in zip(numbers, lonlat, strict=True)}
    # Most articles have no place.
    write_content(folder, articles(range(60, 120), "en"), number=0)
    write_content(folder, articles(range(120, 200), "en"), number=1)
    write_content(folder, articles(range(1, 50), "de"), "dewiki", old=True)
    (folder / "readme.txt").write_text("of the user's own")
    return places


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dumps")
    return folder, write_dumps(folder)


@pytest.fixture(scope="module")
def prepared(published, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    said = prepare_from_files(Wikipedia(published[0]), folder, ALONE)
    assert said.endswith("skipped 0 of 50 rows")
    return folder


def files_of(data_dir):
    return {path.name: path.read_bytes() for path in data_dir.rglob("*array_record*")}


def test_every_article_with_a_place_stands_once_in_its_split(published, prepared):
    _, places = published
    builder = prepare("wikipedia", prepared)
    found = {}
    for split in ("train", "validation"):
        for example in builder.as_data_source(split):
            key = example["language"].decode(), int(example["page_id"])
            text = f"{key[0]}: Place {key[1]} – a “town” of Übersee."
            assert example["text"].decode() == text
            assert example["title"].decode() == f"Place {key[1]}"
            lonlat = np.array([example["lon"], example["lat"]])
            assert is_held_out(lonlat[None])[0] == (split == "validation")
            found[key] = lonlat
    assert found.keys() == places.keys()
    for key, lonlat in found.items():
        np.testing.assert_array_equal(lonlat, places[key].astype(np.float32))


def test_texts_are_a_modality(prepared):
    source = open_tfds("wikipedia", "text", "train", prepared, text_bytes=24)
    sample = source.gather(np.array([0]))["sample"]
    np.testing.assert_array_equal(sample, encode_text(["de: Place 1 – a “town” of Übersee."], 24))


def test_processes_make_the_same_bytes(published, prepared, tmp_path):
    source, data = ["--source", str(published[0])], ["--data-dir", str(tmp_path)]
    main(["prepare", "wikipedia", *source, *data, "--workers", "2", "--rows-per-file", "8"])
    assert files_of(tmp_path) == files_of(prepared)


def test_a_dump_is_extracted_once_and_damage_is_made_good(published, prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "data")
    extracted = sorted((tmp_path / "data/wikipedia/extracted").glob("*-of-?????"))
    assert len(extracted) == 3
    before = files_of(tmp_path)
    source = tmp_path / "dumps"
    shutil.copytree(published[0], source)
    flip_a_bit(extracted[0])
    extracted[1].unlink()
    flip_a_bit(sorted((tmp_path / "data/wikipedia/1.0.0").glob("*-of-?????"))[0])
    marks = {path: path.stat().st_ino for path in extracted[2:]}
    prepare_from_files(Wikipedia(source), tmp_path / "data", ALONE, verify=True)
    assert files_of(tmp_path) == before
    assert all(path.stat().st_ino == mark for path, mark in marks.items())


def test_what_has_no_text_is_skipped_and_counted(tmp_path):
    page = {"title": "A", "text": "x" * 5000}
    rows = [geo_row(n, n, n / 2, n / 2) for n in range(1, 8)]
    write_geo_tags(tmp_path, [*rows, geo_row(8, 1, 2, 2, primary=0), geo_row(9, 9, 99, 2)])
    write_content(
        tmp_path,
        {
            1: page | {"opening_text": "first"},
            2: page | {"opening_text": None},
            3: page | {"opening_text": " \n", "text": ""},
            4: {"title": "redirect"},
            12: page,
        },
    )
    write_content(tmp_path, {1: page | {"opening_text": "again"}}, number=1)
    said = prepare_from_files(Wikipedia(tmp_path), tmp_path / "data", ALONE)
    assert said.endswith(
        "skipped 7 of 9 rows: 1 not primary, 1 out of range, 2 without a text, 3 without an article"
    )
    splits = prepare("wikipedia", tmp_path / "data")
    examples = [e for split in splits.info.splits for e in splits.as_data_source(split)]
    texts = {int(example["page_id"]): example["text"].decode() for example in examples}
    assert texts == {1: "first", 2: "x" * TEXT_CHARACTERS}


def without_contents(folder):
    for path in folder.glob("dewiki-*content*"):
        path.unlink()


def with_two_dates(folder):
    path = next(folder.glob("enwiki-*-geo_tags.sql.gz"))
    shutil.copy(path, folder / "enwiki-20261001-geo_tags.sql.gz")


def with_a_short_file(folder):
    path = next(folder.glob("*-00001.json.bz2"))
    path.write_bytes(path.read_bytes()[:-20])


def with_half_a_pair(folder):
    path = next(folder.glob("*-00001.json.bz2"))
    path.write_bytes(bz2.compress(bz2.decompress(path.read_bytes()).rsplit(b"\n", 2)[0] + b"\n"))


def with_other_lines(folder):
    path = next(folder.glob("dewiki-*content*"))
    path.write_bytes(gzip.compress(b'{"id": 1, "text": "a"}\n' * 2))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_contents, "found geo_tags of de, en and contents of en"),
        (shutil.rmtree, "found geo_tags of none and contents of none"),
        (with_two_dates, "one geo_tags dump of a language, found enwiki-2026.* and enwiki-2026"),
        (with_a_short_file, "cannot read .*00001.json.bz2: Compressed file ended"),
        (with_half_a_pair, "00001.json.bz2: expected a search index in pairs of lines"),
        (with_other_lines, r"content.json.gz: expected a search index .*KeyError\('index'\)"),
    ],
)
def test_dumps_that_cannot_be_used_are_one_error(tmp_path, spoil, message):
    write_dumps(tmp_path / "dumps")
    spoil(tmp_path / "dumps")
    with pytest.raises(DataError, match=message):
        prepare_from_files(Wikipedia(tmp_path / "dumps"), tmp_path / "data", ALONE)
    assert not (tmp_path / "data/wikipedia/1.0.0").exists()
