"""Tables of places: read as Python's csv module reads them, or refused in one message."""

from __future__ import annotations

import csv
import io
import os
import re

import geopandas
import numpy as np
import pandas as pd
import pyarrow
import pyproj
import pytest
import shapely
from hypothesis import strategies as st
from pyarrow import parquet

from earth_embed.csvfiles import joined, quoted
from earth_embed.errors import ConfigError, CoordinateError, DataError, EarthEmbedError
from earth_embed.geotable import open_geotable, read_geotable
from earth_embed.tablefiles import open_table_file
from tests.fuzzing import fuzz

LON_NAMES = ("lon", "longitude", "lng", "long", "decimallongitude")
LAT_NAMES = ("lat", "latitude", "decimallatitude")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
EMPTY = ("", "NA", "nan", "NULL", "#N/A")

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)


def degrees(limit):
    return st.one_of(
        st.floats(-limit, limit).map(repr),
        st.integers(-90, 90).map(lambda number: f" {number:+} "),
        st.sampled_from([*EMPTY, "1e1", ".5", "-0", "7."]),
    )


@st.composite
def tables(draw):
    """A header, rows, and their text as some program may have written it."""
    spare = draw(st.lists(st.text("abc \"'_é", min_size=1, max_size=4), max_size=3))
    header = [
        draw(st.sampled_from(["lon", " LONGITUDE", "lng ", "Long", "decimalLongitude"])),
        draw(st.sampled_from(["lat", " Lat ", "latitude", "decimalLatitude"])),
        *dict.fromkeys(name.strip() for name in spare),
    ]
    row = st.tuples(degrees(180), degrees(90), *(TEXT for _ in header[2:]))
    rows = [list(cells) for cells in draw(st.lists(row, min_size=1, max_size=9))]
    out = io.StringIO(newline="")
    ends, quoting = draw(
        st.sampled_from(
            [
                ("\r\n", csv.QUOTE_MINIMAL),
                ("\r\n", csv.QUOTE_ALL),
                ("\n", csv.QUOTE_ALL),  # Python 3.11 leaves a lone \r unquoted here
                ("\r", csv.QUOTE_ALL),
            ]
        )
    )
    separator = draw(st.sampled_from(",;\t"))
    csv.writer(out, delimiter=separator, lineterminator=ends, quoting=quoting).writerows(
        [header, *rows]
    )
    return header, rows, draw(st.sampled_from(["", "\ufeff"])) + out.getvalue()


def number(text):
    """A coordinate by the rules of the documentation: NaN if empty, None if it is no number."""
    text = text.strip()
    if text in EMPTY:
        return np.nan
    return float(text) if NUMBER.fullmatch(text) and np.isfinite(float(text)) else None


def places_of(header, rows):
    """(N, 2) degrees; None where the table is to be refused."""
    names = [name.strip().lower() for name in header]
    columns = [
        [i for i, name in enumerate(names) if name in known] for known in (LON_NAMES, LAT_NAMES)
    ]
    if [len(found) for found in columns] != [1, 1]:
        return None
    pairs = [[number(row[found[0]]) for found in columns] for row in rows]
    if any(None in pair for pair in pairs):
        return None
    return np.array([[np.nan] * 2 if np.isnan(pair).any() else pair for pair in pairs])


def read(path, size):
    """Header, cells and places."""
    table = open_geotable(path)
    parts = list(table.batches(size))
    assert all(len(rows) == len(places) <= size for rows, places in parts)
    rows = [list(row.values()) for rows, _ in parts for row in rows.to_pylist()]
    return table.file.schema.names, rows, np.concatenate([np.zeros((0, 2)), *(p for _, p in parts)])


@fuzz(100, table=tables(), size=st.integers(1, 4))
def test_any_csv_is_read_as_it_was_written(tmp_path, table, size):
    header, rows, text = table
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    names, found, places = read(path, size)
    assert names == [name.strip() for name in header]
    assert found == rows
    np.testing.assert_array_equal(places, places_of(header, rows))


EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["insert", "delete", "replace"]),
        st.sampled_from(b'",;\n\r\t_19. \0\xc3\xff'),
    ),
    min_size=1,
    max_size=3,
)


@fuzz(300, table=tables(), edits=EDITS, size=st.integers(1, 4))
def test_a_damaged_csv_is_read_as_python_reads_it_or_refused(tmp_path, table, edits, size):
    data = bytearray(table[-1].encode())
    for where, kind, byte in edits:
        at = int(where * (len(data) - 1))
        data[at : at + (kind != "insert")] = b"" if kind == "delete" else bytes([byte])
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    try:
        names, rows, places = read(path, size)
    except EarthEmbedError:
        return
    accepted = []
    for separator in ",;\t":
        try:
            lines = io.StringIO(data.decode("utf-8-sig"), newline="")
            header, *body = filter(None, csv.reader(lines, delimiter=separator, strict=True))
        except csv.Error:
            continue
        if {len(row) for row in body} <= {len(header)} and places_of(header, body) is not None:
            accepted.append(([name.strip() for name in header], body, places_of(header, body)))
    assert any(
        names == header and rows == body and np.array_equal(places, lonlat.reshape(-1, 2), True)
        for header, body, lonlat in accepted
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lon,lat,LON\n1,2,50\n", "expected one column that can be lon, found lon and LON"),
        ("lon,longitude,lat\n1,2,3\n", "found lon and longitude"),
        ("lon,lat,,\n1,2,,\n", "more than one column named ''"),
        ("lng,Lat,latitude\n1,2,3\n", "found Lat and latitude"),
        ("lon, lon ,lat\n1,2,3\n", "more than one column named 'lon'"),
        ('a,lon,lat\n"x,1,2\ny,3,4\n', "line 2: a quote is opened but not closed"),
        ('a,lon,lat\n\nx,1,2\n"y"z,3,4\n', "line 4: a quoted cell goes on after its closing"),
        ('a,lon,lat\n"x\n\n",1,2\ny,3\n', "line 5: Expected 3 columns, got 2: 'y,3'"),
        ("a;lon;lat\nx;1;2\ny;1,5;2\n", r"row 1 has '1,5'; decimals are written with a point"),
        ("lon,lat\n1_0,2\n", "lon must hold degrees as numbers; row 0 has '1_0'"),
        ("lon,lat\n1,2\n3,inf\n", "lat must hold degrees as numbers; row 1 has 'inf'"),
        ("lon,lat\n1,2\n１,2\n", "row 1 has '１'"),
        ("lon,lat\n1,2\n3,nan\n", "finite numbers in degrees; row 1 "),
        ("a;x;y\nu;1;2\n", "it has a, x, y; read with semicolons .* first row is 'u;1;2'"),
        ("a,b\n1\t2\n", "read with commas"),
        ("\n\n", "Empty CSV"),
        ('a,lon,lat\n"' + "x" * 200_000, "more than 131,072 characters, or a quote is not closed"),
    ],
)
def test_faults_are_named_once(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EarthEmbedError, match=message) as caught:
        read_geotable(path)
    assert str(caught.value).count(str(path)) == 1


def test_utf16_is_no_utf8(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("lon,lat\n1,2\n", encoding="utf-16")
    with pytest.raises(DataError, match="line 1: it is not UTF-8"):
        read_geotable(path)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6)


@fuzz(100, rows=st.lists(st.tuples(WORDS | st.sampled_from(['"a', '"a" b', '"']), WORDS)))
def test_quotes_in_gbif_s_downloads_are_letters(tmp_path, rows):
    path = tmp_path / "occurrence.txt"
    header = "gbifID\tlocality\tdecimalLatitude\tdecimalLongitude\tremarks\n"
    lines = (f"{i}\t{a}\t1\t2\t{b}\n" for i, (a, b) in enumerate(rows))
    path.write_text(header + "".join(lines), encoding="utf-8", newline="")
    _, found, places = read(path, 3)
    assert [(row[1], row[4]) for row in found] == rows
    np.testing.assert_array_equal(places, [[2, 1]] * len(rows) or np.zeros((0, 2)))


def test_a_pipe_or_folder_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    (tmp_path / "t.parquet").mkdir()
    for name in ("t.csv", "t.parquet"):
        with pytest.raises(DataError, match="expected a file, which can be read twice; found a pi"):
            read_geotable(tmp_path / name)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_only_the_columns_that_are_asked_for_are_read(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    frame = pd.DataFrame({"a": ["x"], "lat": [2.0], "b": [3], "lon": [1.0]})
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    for columns, names in (((), []), (["b"], ["b"]), (["lat", "b"], ["b"])):
        table, places = read_geotable(path, columns)
        assert table.column_names == ["lon", "lat", *names]
        np.testing.assert_array_equal(places, [[1, 2]])
    with pytest.raises(DataError, match="has no column 'c'; it has a, lat, b, lon"):
        read_geotable(path, ["b", "c"])


def test_rows_are_read_as_they_are_needed(tmp_path):
    """The last line is broken; the rows before it are there all the same."""
    path = tmp_path / "t.csv"
    path.write_text("lon,lat\n" + "1,2\n" * 5000 + "3\n")
    batches = open_geotable(path).batches(2000)
    assert [next(batches)[0].num_rows for _ in range(2)] == [2000, 2000]
    with pytest.raises(DataError, match="line 5002"):
        next(batches)


CELLS = {
    "int64": st.integers(-(2**63), 2**63 - 1).map(str),
    "double": st.floats().map(repr),
    "date32[day]": st.dates().map(str),
    "timestamp[s]": st.datetimes().map(lambda time: str(time.replace(microsecond=0))),
    "string": st.text("ab0 ,\"'\n-", max_size=5),
    "null": st.sampled_from(EMPTY),
}


@st.composite
def parts_of_a_column(draw):
    """Batches of cells; each is of one kind and may lack some, as are those of real columns."""
    first = draw(st.sampled_from(list(CELLS)))
    pairs = {"int64": "double", "date32[day]": "timestamp[s]"}
    kinds = st.sampled_from([first, "null", pairs.get(first, "string")])
    kind = st.lists(kinds, min_size=1, max_size=4)
    return [
        draw(st.lists(CELLS[each] | CELLS["null"], min_size=1, max_size=4)) for each in draw(kind)
    ]


@fuzz(100, parts=parts_of_a_column())
def test_types_inferred_in_parts_are_those_of_the_whole(tmp_path, parts):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    file = open_table_file(path)
    columns = [pyarrow.table({"a": part, "b": ["x"] * len(part)}) for part in parts]
    types = {}
    for part in columns:
        types = file.infer(types, part)
    whole = file.typed(columns)
    again = pyarrow.concat_tables([file.typed([part], types) for part in columns])
    if whole.schema.field("a").type == types["a"]:
        assert again.equals(whole) or "nan" in str(again)
    else:  # text, where a mixture has no common type that a part shows
        assert types["a"] == pyarrow.string()
        assert again.column("a").to_pylist() == [cell for part in parts for cell in part]


@fuzz(200, rows=st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=6))
def test_csv_is_written_as_python_writes_it(rows):
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    columns = [pyarrow.array(list(column)) for column in zip(*rows, strict=True)]
    lines = joined([quoted(column) for column in columns])
    assert bytes(lines).decode() == out.getvalue()


@pytest.fixture
def points(rng):
    lonlat = np.stack([rng.uniform(6, 10, 20), rng.uniform(46, 47.5, 20)], axis=1)
    geometry = geopandas.points_from_xy(*lonlat.T, crs="EPSG:4326")
    names = [f"p{i:02}" for i in range(20)]
    return lonlat, geopandas.GeoDataFrame({"name": names}, geometry=geometry)


@pytest.mark.parametrize("suffix", ["gpkg", "fgb", "geojson", "parquet"])
def test_points_of_other_formats(tmp_path, points, suffix):
    lonlat, frame = points
    path = tmp_path / f"p.{suffix}"
    projected = frame if suffix == "geojson" else frame.to_crs("EPSG:2056")
    projected.to_parquet(path) if suffix == "parquet" else projected.to_file(path)
    table, places = read_geotable(path)
    order = np.argsort(table.column("name").to_pylist())  # FlatGeobuf sorts by place
    np.testing.assert_allclose(places[order], lonlat, atol=1e-6)


def test_geoarrow_points(tmp_path, points):
    lonlat, frame = points
    frame.to_parquet(tmp_path / "p.parquet", geometry_encoding="geoarrow", schema_version="1.1.0")
    np.testing.assert_array_equal(read_geotable(tmp_path / "p.parquet")[1], lonlat)


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "parquet"])
@pytest.mark.parametrize("place", [None, shapely.Point()])
def test_a_point_without_a_place_is_missing(tmp_path, points, suffix, place):
    lonlat, frame = points
    frame.loc[3, "geometry"] = place
    path = tmp_path / f"p.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_file(path)
    _, places = read_geotable(path, may_lack_places=True)
    assert np.flatnonzero(np.isnan(places).any(axis=1)).tolist() == [3]
    np.testing.assert_allclose(np.delete(places, 3, 0), np.delete(lonlat, 3, 0), atol=1e-6)


def test_faults_of_other_formats_are_named(tmp_path, points):
    _, frame = points
    path = tmp_path / "p.gpkg"
    frame.to_file(path, layer="towns")
    frame.to_file(path, layer="rivers")
    with pytest.raises(DataError, match="expected one layer, found 2: towns, rivers"):
        read_geotable(path)
    areas = frame.to_crs("EPSG:2056")
    areas.set_geometry(areas.buffer(9)).to_file(tmp_path / "a.geojson")
    with pytest.raises(DataError, match="expected Point geometries; that of row 0 is Polygon"):
        read_geotable(tmp_path / "a.geojson")
    (tmp_path / "b.gpkg").write_bytes(b"SQLite format 3\0")
    with pytest.raises(DataError, match=r"cannot read .*b\.gpkg"):
        read_geotable(tmp_path / "b.gpkg")


def test_projected_columns_are_read_in_their_crs(tmp_path, points):
    lonlat, _ = points
    x, y = pyproj.Transformer.from_crs(4326, 2056, always_xy=True).transform(*lonlat.T)
    path = tmp_path / "p.csv"
    pd.DataFrame({"X": x, "y": y, "lon": 0, "lat": 0}).to_csv(path, index=False)
    ((_, places),) = open_geotable(path, "EPSG:2056").batches(100)
    np.testing.assert_allclose(places, lonlat, atol=1e-6)
    for crs in ("EPSG:x", "", "EPSG:5773", "EPSG:4978"):  # the last two: heights, geocentric
        with pytest.raises(ConfigError, match=rf"'{crs}': expected a CRS such as EPSG:2056; "):
            open_geotable(path, crs)
    path.write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match="or, in embed, --crs with the CRS of its columns x and y"):
        open_geotable(path)
    path.write_text("lon,lat\n1,2\n")
    with pytest.raises(DataError, match="needs columns x and y in EPSG:2056; it has lon, lat"):
        open_geotable(path, "EPSG:2056")


def test_a_point_outside_of_its_crs_is_named(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("x,y\n0,0\n,\n0,1e30\n")
    table = open_geotable(path, "EPSG:6933")
    with pytest.raises(CoordinateError, match=r"row 2 has x=0, y=1e\+30, which lies outside of"):
        list(table.batches(2))


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([1.5, None], [1.5, np.nan]),
        (pyarrow.array([2, None], pyarrow.int16()), [2, np.nan]),
        (pyarrow.array(["1.5", " "]), [1.5, np.nan]),
        (pyarrow.array(["1.5", None]).dictionary_encode(), [1.5, np.nan]),
        (pyarrow.array([None, None]), [np.nan, np.nan]),
    ],
)
def test_arrow_nulls_are_missing(tmp_path, column, found):
    path = tmp_path / "p.parquet"
    parquet.write_table(pyarrow.table({"lon": column, "lat": found}), path)
    _, places = read_geotable(path, may_lack_places=True)
    missing = np.isnan(found)
    np.testing.assert_array_equal(
        places, np.where(missing[:, None], np.nan, 1) * np.c_[found, found]
    )
    with pytest.raises(CoordinateError, match=f"row {int(np.argmax(missing))} "):
        read_geotable(path)


@pytest.mark.parametrize("column", [[True], [b"1"], [[1.0]], ["x"]])
def test_other_types_are_no_coordinates(tmp_path, column):
    path = tmp_path / "p.parquet"
    parquet.write_table(pyarrow.table({"lon": column, "lat": [1.0]}), path)
    with pytest.raises(CoordinateError, match="lon must hold degrees"):
        read_geotable(path)
