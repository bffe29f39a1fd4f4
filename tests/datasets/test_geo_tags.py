"""The SQL dump of geo_tags: any value in any dump is read as an independent writer wrote it."""

import gzip
import io
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earth_embed.datasets import geo_tags
from earth_embed.datasets.geo_tags import read_places, read_rows
from earth_embed.errors import DataError
from tests.datasets.dumps import COLUMNS, NEWER, geo_row, sql_dump, write_geo_tags

# Quotes, escapes and what ends values, rows and statements come up often.
STRINGS = st.one_of(
    st.binary(max_size=12),
    st.lists(st.sampled_from([b"'", b"\\", b",", b"(", b")", b";", b"\n", b"a", b"NULL"])).map(
        b"".join
    ),
)
DEGREES = st.floats(-90, 90).map(lambda degrees: round(degrees, 8))
ROWS = st.lists(
    st.tuples(
        st.integers(0, 2**32 - 1),
        st.one_of(st.none(), STRINGS),
        st.one_of(st.none(), DEGREES),
        STRINGS,
    ),
    max_size=8,
)
FOUR = {"gt_id": "int", "gt_name": "varbinary(255)", "gt_lat": "float", "gt_type": "varbinary(32)"}


@settings(max_examples=60)
@given(
    rows=ROWS,
    chunk=st.integers(20, 300),
    statement=st.integers(1, 4),
    lines=st.booleans(),
    doubled=st.booleans(),
)
def test_rows_are_read_as_they_were_written(rows, chunk, statement, lines, doubled):
    dump = sql_dump("geo_tags", FOUR, rows, statement=statement, lines=lines, doubled=doubled)
    other = sql_dump("page", FOUR, [(1, b"INSERT INTO `geo_tags` VALUES (", 2, b"")])
    with mock.patch.object(geo_tags, "_CHUNK", chunk):
        wanted = ("gt_type", "gt_id", "gt_lat", "gt_name")
        read = list(read_rows(io.BytesIO(other + dump + other), "geo_tags", wanted))
    expected = [
        (kind, str(number).encode(), None if lat is None else str(lat).encode(), name)
        for number, name, lat, kind in rows
    ]
    assert read == expected


@pytest.mark.parametrize("columns", [COLUMNS, NEWER, dict(reversed(NEWER.items()))])
def test_columns_are_those_that_the_table_says(columns):
    row = dict(zip(NEWER, geo_row(1, 12, 47.25, 8.5), strict=True))
    dump = sql_dump("geo_tags", columns, [tuple(row[name] for name in columns)])
    wanted = ("gt_page_id", "gt_lon", "gt_lat", "gt_globe")
    assert list(read_rows(io.BytesIO(dump), "geo_tags", wanted)) == [
        (b"12", b"8.5", b"47.25", b"earth")
    ]


def test_primary_places_on_earth_are_kept_and_the_others_counted(tmp_path):
    path = write_geo_tags(
        tmp_path,
        [
            geo_row(1, 30, 47.5, 8.25),
            geo_row(2, 10, -33.5, 250.0),
            geo_row(3, 10, 1, 1, primary=0),
            geo_row(4, 11, 1, 1, globe=b"moon"),
            geo_row(5, 12, None, 1),
            geo_row(6, 13, 90.5, 1),
            geo_row(7, 14, 1, -180.5),
            geo_row(8, 30, 2, 2),
        ],
    )
    places = read_places(path)
    assert places.page_id.tolist() == [10, 30]
    np.testing.assert_array_equal(places.lonlat, [[-110.0, -33.5], [8.25, 47.5]])
    assert places.skipped == {
        "not primary": 1,
        "not on Earth": 1,
        "without a place": 1,
        "out of range": 2,
        "a further primary place": 1,
    }
    assert [page in places for page in (9, 10, 20, 30, 31)] == [False, True, False, True, False]
    np.testing.assert_array_equal(places.of([30, 10]), places.lonlat[::-1])


def without_its_end(dump):
    return gzip.compress(dump)[:-30]


def without_its_last_rows(dump):
    return gzip.compress(dump[: dump.rindex(b"landmark")])


def without_a_column(dump):
    return gzip.compress(dump.replace(b"`gt_lon`", b"`gt_longitude`"))


def of_another_table(dump):
    return gzip.compress(dump.replace(b"geo_tags", b"page"))


def with_a_column_too_few(dump):
    return gzip.compress(dump.replace(b",1000,", b",") + b" " * 70_000)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_its_end, "ended before the end-of-stream"),
        (without_its_last_rows, r"it ends within the rows: b\"\(2,6,"),
        (without_a_column, "geo_tags has no column gt_lon; it has gt_id, gt_page_id"),
        (of_another_table, "expected a dump of the table geo_tags, found no CREATE TABLE"),
        (with_a_column_too_few, r"expected a row, found b\"\(1,5,'earth'"),
        (lambda dump: dump, "Not a gzipped file"),
    ],
)
def test_a_dump_that_cannot_be_read_is_one_error(tmp_path, spoil, message):
    path = write_geo_tags(tmp_path, [geo_row(1, 5, 1, 1), geo_row(2, 6, 1, 1)])
    path.write_bytes(spoil(gzip.decompress(path.read_bytes())))
    with pytest.raises(DataError, match=f"cannot read .*geo_tags.sql.gz: .*{message}"):
        read_places(path)


def test_memory_is_bounded_by_a_chunk():
    rows = sql_dump("geo_tags", NEWER, [geo_row(i, i, 1, 1) for i in range(20_000)], statement=5000)
    stream = io.BytesIO(rows)
    reader = read_rows(stream, "geo_tags", ("gt_page_id",))
    with mock.patch.object(geo_tags, "_CHUNK", 1000):
        next(reader)
        assert stream.tell() < 5000 < len(rows)
        assert sum(1 for _ in reader) == 19_999
