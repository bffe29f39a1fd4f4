"""`embed`: the same rows in the same order, an embedding each, and nothing lost when it fails."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from earth_embed.coordinates import unit_vector
from earth_embed.errors import (
    ConfigError,
    CoordinateError,
    DataError,
    EarthEmbedError,
    FaultWarning,
)
from earth_embed.serving.embed import embed_table
from tests.conftest import limited_file_size
from tests.killing import assert_survives


class UnitVector:
    """A stand-in encoder that anyone can invert by eye."""

    dim = 3

    def __call__(self, lonlat: np.ndarray) -> np.ndarray:
        return unit_vector(lonlat).astype(np.float32)


def embedding(frame: pd.DataFrame) -> np.ndarray:
    return np.stack(frame["embedding"].to_numpy())


@pytest.fixture
def places(rng):
    return pd.DataFrame(
        {
            "name": [f"place {i}" for i in range(50)],
            "lon": rng.uniform(-180, 180, 50),
            "lat": rng.uniform(-90, 90, 50),
            "count": pd.array([None, *range(49)], dtype="Int64"),
        }
    )


def geometry(places, crs="EPSG:4326"):
    points = geopandas.points_from_xy(places.lon, places.lat, crs="EPSG:4326")
    return geopandas.GeoDataFrame(places[["name"]], geometry=points).to_crs(crs)


@pytest.mark.parametrize("batch_size", [7, 50, 1000])
def test_parquet_keeps_the_table_and_adds_a_list(tmp_path, places, batch_size):
    source, output = tmp_path / "in.parquet", tmp_path / "out.pq"
    places.to_parquet(source)
    assert embed_table(UnitVector(), source, output, batch_size) == 50
    before, after = parquet.read_table(source), parquet.read_table(output)
    assert after.drop_columns("embedding").equals(before, check_metadata=True)
    assert after.schema.field("embedding").type == pyarrow.list_(pyarrow.float32(), 3)
    expected = unit_vector(places[["lon", "lat"]].to_numpy()).astype(np.float32)
    np.testing.assert_array_equal(embedding(pd.read_parquet(output)), expected)
    pd.testing.assert_frame_equal(pd.read_parquet(output).drop(columns="embedding"), places)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
ROWS = st.lists(st.tuples(TEXT, st.floats(-180, 360), st.floats(-90, 90)), min_size=1, max_size=12)


@given(ROWS, st.integers(1, 5))
def test_any_csv_keeps_every_cell(rows, batch_size):
    """Whatever the names hold: quotes, commas, line ends, 007, NA."""
    table = [[name, repr(lon), repr(lat)] for name, lon, lat in rows]
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "in.csv"), Path(folder, "out.csv")
        with source.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["name", "lon", "lat"], *table])
        embed_table(UnitVector(), source, output, batch_size)
        with output.open(newline="", encoding="utf-8") as file:
            header, *read = csv.reader(file)
    assert header == ["name", "lon", "lat", "e0", "e1", "e2"]
    assert [row[:3] for row in read] == table
    embeddings = np.array([row[3:] for row in read], np.float32)
    lonlat = np.array([[lon, lat] for _, lon, lat in rows])
    np.testing.assert_allclose(embeddings, unit_vector(lonlat), atol=1e-6)


def written_before(table, embeddings):
    """The text of a table and its embeddings as Python's csv module writes it, cell by cell."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    names = [f"e{i}" for i in range(embeddings.shape[1])]
    writer.writerow([*table.column_names, *names])
    digits = pyarrow.array(embeddings.ravel()).cast(pyarrow.string()).to_numpy(zero_copy_only=False)
    cells = zip(*(column.to_pylist() for column in table.columns), strict=True)
    rows = zip(cells, digits.reshape(embeddings.shape).tolist(), strict=True)
    writer.writerows([*row, *numbers] for row, numbers in rows)
    return out.getvalue()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_csv_is_written_cell_by_cell_as_python_writes_it(tmp_path, places, suffix):
    source, output = tmp_path / f"in.{suffix}", tmp_path / "out.csv"
    frame = places.assign(
        text=['a,"b"', "two\nlines", "007", "", " x "] * 10,
        when=pd.Timestamp("2026-11-24 10:00"),
        flag=[True, False] * 25,
        share=[1.0, 1e-5, 1e22, np.nan, -0.0] * 10,
        kind=pd.Categorical(["x", "y"] * 25),
    )
    if suffix == "csv":
        frame.to_csv(source, index=False)
        table = pyarrow.Table.from_pandas(pd.read_csv(source, dtype=str, keep_default_na=False))
    else:
        frame.to_parquet(source)
        table = parquet.read_table(source)
    embed_table(UnitVector(), source, output, batch_size=7)
    embeddings = unit_vector(places[["lon", "lat"]].to_numpy()).astype(np.float32)
    assert output.read_bytes().decode() == written_before(table, embeddings)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("batch_size", [3, 1000])
def test_rows_without_a_coordinate_are_refused_skipped_or_kept(
    tmp_path, places, suffix, batch_size
):
    source, output = tmp_path / "in.csv", tmp_path / f"out.{suffix}"
    whole = places.assign(lon=places.lon.where(places.index % 7 != 3))
    whole.to_csv(source, index=False)
    read = pd.read_csv if suffix == "csv" else pd.read_parquet
    with pytest.raises(CoordinateError, match=r"row 3 is missing one\. --missing skip leaves"):
        embed_table(UnitVector(), source, output, batch_size)
    assert not output.exists()
    with pytest.warns(FaultWarning, match="7 of 50 rows have no .* left out; the first is row 3"):
        assert embed_table(UnitVector(), source, output, batch_size, missing="skip") == 43
    skipped = read(output)
    with pytest.warns(FaultWarning, match="kept with an empty embedding; the first is row 3"):
        assert embed_table(UnitVector(), source, output, batch_size, missing="keep") == 50
    kept = read(output)
    whole.dropna(subset="lon").to_csv(source, index=False)
    embed_table(UnitVector(), source, output, batch_size)
    expected = read(output)
    pd.testing.assert_frame_equal(skipped, expected)
    known = kept.dropna(subset="lon").reset_index(drop=True)
    pd.testing.assert_frame_equal(known, expected)
    empty = kept[kept.lon.isna()].filter(regex="^e[0-9]$|embedding")
    assert empty.isna().all(axis=None)
    assert len(empty) == 7


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_without_any_coordinate_can_be_skipped_or_kept(tmp_path, suffix):
    source, output = tmp_path / "in.csv", tmp_path / f"out.{suffix}"
    source.write_text("name,lon,lat\na,,\nb,,\n")
    for missing, rows in (("skip", 0), ("keep", 2)):
        with pytest.warns(FaultWarning, match="2 of 2 rows"):
            assert embed_table(UnitVector(), source, output, missing=missing) == rows
        assert len(pd.read_csv(output) if suffix == "csv" else pd.read_parquet(output)) == rows
    with pytest.raises(ConfigError, match="missing = 'drop': expected one of error, skip, keep"):
        embed_table(UnitVector(), source, output, missing="drop")
    with pytest.raises(ConfigError, match="batch_size = 0: expected 1 or more"):
        embed_table(UnitVector(), source, output, 0)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("last", "message"),
    [("x,1,97", "row 70000 "), ("x,1,2,3", "line 70002:"), ('"x,1,2', "line 70002: a quote")],
)
def test_a_bad_row_late_in_the_file_leaves_nothing(tmp_path, suffix, last, message):
    source = tmp_path / "in.csv"
    source.write_text("name,lon,lat\n" + "a,1,2\n" * 70_000 + last + "\n")
    with pytest.raises(EarthEmbedError, match=message):
        embed_table(_never, source, tmp_path / f"out.{suffix}")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("added", ["b,3,4\n", "b,,\n", "b,x,4\n"])
def test_a_table_that_changes_meanwhile_is_refused(tmp_path, added):
    source = tmp_path / "in.csv"
    source.write_text("a,lon,lat\n" + "a,1,2\n" * 9)

    class Grows(UnitVector):
        def __call__(self, lonlat):
            if not source.read_text().endswith(added):
                source.write_text(source.read_text() + added)
            return super().__call__(lonlat)

    with pytest.raises(EarthEmbedError, match=r"changed while it was read|row 9 has 'x'"):
        embed_table(Grows(), source, tmp_path / "out.csv", batch_size=3)
    assert list(tmp_path.iterdir()) == [source]


def test_types_do_not_depend_on_where_batches_end(tmp_path):
    source, output = tmp_path / "in.csv", tmp_path / "out.parquet"
    late = 70_000  # beyond the rows from which the first types are inferred
    source.write_text("v,lon,lat\n" + "1,1,2\n" * late + "1.5,1,2\n,1,2\n")
    embed_table(UnitVector(), source, output)
    column = parquet.read_table(output).column("v")
    assert column.type == pyarrow.float64()
    assert column.slice(late - 1).to_pylist() == [1, 1.5, None]


def test_points_of_a_geopackage_become_geoparquet(tmp_path, places):
    places.lat *= 80 / 90
    source, output = tmp_path / "in.gpkg", tmp_path / "out.parquet"
    before = geometry(places, "EPSG:6933")
    before.to_file(source)
    embed_table(UnitVector(), source, output)
    after = geopandas.read_parquet(output)
    assert after.crs == before.crs
    assert after.geometry.geom_equals(before.geometry).all()
    expected = unit_vector(places[["lon", "lat"]].to_numpy())
    np.testing.assert_allclose(embedding(after), expected, atol=1e-6)


def test_projected_columns_need_their_crs(tmp_path):
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("x,y\n2600000,1200000\n")
    embed_table(UnitVector(), source, output, crs="EPSG:2056")
    found = pd.read_csv(output)[["e0", "e1", "e2"]].to_numpy()
    bern = unit_vector(np.array([[7.4386, 46.9511]]))
    np.testing.assert_allclose(found, bern, atol=1e-5)


def test_csv_and_parquet_hold_the_same_float32(tmp_path, places):
    source = tmp_path / "in.csv"
    places.to_csv(source, index=False)
    for suffix in ("csv", "parquet"):
        embed_table(UnitVector(), source, tmp_path / f"out.{suffix}")
    columns = pd.read_csv(tmp_path / "out.csv")[["e0", "e1", "e2"]].to_numpy(np.float32)
    table = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_array_equal(columns, embedding(table))
    assert table.dtypes["lon"] == np.float64


def test_identifiers_in_csv_stay_as_written(tmp_path):
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("id,country,lon,lat,note\n007,NA,16.50,-22.560,\n")
    embed_table(UnitVector(), source, output)
    header, row = output.read_text().splitlines()
    assert header == "id,country,lon,lat,note,e0,e1,e2"
    assert row.startswith("007,NA,16.50,-22.560,,0.")


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:6933"])
def test_geoparquet_is_reprojected_to_embed_and_kept_as_it_was(tmp_path, places, crs):
    places.lat *= 80 / 90  # Web Mercator ends at 85°
    source, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    before = geometry(places, crs)
    before.to_parquet(source)
    embed_table(UnitVector(), source, output, batch_size=20)
    after = geopandas.read_parquet(output)
    assert after.crs == before.crs
    assert after.geometry.geom_equals(before.geometry).all()
    expected = unit_vector(places[["lon", "lat"]].to_numpy())
    np.testing.assert_allclose(embedding(after), expected, atol=1e-6)


def test_lon_and_lat_columns_go_before_geometry(tmp_path, places):
    source, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    areas = geometry(places).assign(lon=places.lon, lat=places.lat)
    areas.set_geometry(areas.geometry.buffer(0)).to_parquet(source)
    embed_table(UnitVector(), source, output)
    expected = unit_vector(places[["lon", "lat"]].to_numpy())
    np.testing.assert_allclose(embedding(geopandas.read_parquet(output)), expected, atol=1e-6)


def test_geometry_other_than_points_is_refused(tmp_path, places):
    frame = geometry(places)
    source = tmp_path / "in.parquet"
    frame.loc[3, "geometry"] = frame.geometry[3].union(frame.geometry[4])
    frame.to_parquet(source)
    with pytest.raises(DataError, match="expected Point geometries; that of row 3 is MultiPoint"):
        embed_table(UnitVector(), source, tmp_path / "out.parquet")
    frame.loc[3, "geometry"] = frame.geometry[4]
    frame.loc[2, "geometry"] = None
    frame.to_parquet(source)
    with pytest.raises(CoordinateError, match="row 2 is missing"):
        embed_table(UnitVector(), source, tmp_path / "out.parquet")


def test_projected_metres_without_a_crs_are_refused(tmp_path, places):
    source = tmp_path / "in.parquet"
    geometry(places, "EPSG:6933").set_crs(None, allow_override=True).to_parquet(source)
    assert json.loads(parquet.read_schema(source).metadata[b"geo"])["columns"]["geometry"]
    with pytest.raises(CoordinateError, match=r"in\.parquet: lat must lie in"):
        embed_table(UnitVector(), source, tmp_path / "out.parquet")


@pytest.mark.parametrize("geo", [b"{", b"{}", b'{"primary_column": "geometry", "columns": {}}'])
def test_broken_geoparquet_metadata_is_one_clear_error(tmp_path, places, geo):
    geometry(places).to_parquet(tmp_path / "whole.parquet")
    table = parquet.read_table(tmp_path / "whole.parquet")
    source = tmp_path / "in.parquet"
    parquet.write_table(table.replace_schema_metadata({b"geo": geo}), source)
    with pytest.raises(DataError, match=r"cannot read the geometry of .*in\.parquet"):
        embed_table(UnitVector(), source, tmp_path / "out.parquet")


def test_geometry_does_not_fit_into_csv(tmp_path, places):
    geometry(places).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(DataError, match=r"'geometry' \(binary\) does not fit into CSV"):
        embed_table(UnitVector(), tmp_path / "in.parquet", tmp_path / "out.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize("name", ["out.xlsx", "out", "out.npy", "out.jsonl"])
def test_other_suffixes_are_refused(tmp_path, places, name):
    places.to_parquet(tmp_path / "in.parquet")
    with pytest.raises(DataError, match=r"written as \.csv or \.parquet or \.pq, not"):
        embed_table(UnitVector(), tmp_path / "in.parquet", tmp_path / name)


def test_the_input_is_never_overwritten(tmp_path, places):
    source = tmp_path / "in.parquet"
    places.to_parquet(source)
    (tmp_path / "link.parquet").symlink_to(source)
    before = source.read_bytes()
    for output in (source, tmp_path / "link.parquet"):
        with pytest.raises(DataError, match="is the input itself"):
            embed_table(UnitVector(), source, output)
    assert source.read_bytes() == before


@pytest.mark.parametrize(("suffix", "name"), [("csv", "e1"), ("parquet", "embedding")])
def test_a_column_with_an_embeddings_name_is_refused(tmp_path, places, suffix, name):
    source = tmp_path / f"in.{suffix}"
    places = places.assign(**{name: 0})
    places.to_csv(source) if suffix == "csv" else places.to_parquet(source)
    with pytest.raises(DataError, match=f"already has a column '{name}'"):
        embed_table(UnitVector(), source, tmp_path / f"out.{suffix}")


def test_an_empty_table_is_refused(tmp_path, places):
    places[:0].to_parquet(tmp_path / "in.parquet")
    with pytest.raises(DataError, match="has no rows"):
        embed_table(UnitVector(), tmp_path / "in.parquet", tmp_path / "out.parquet")


def test_a_missing_folder_is_found_before_the_work(tmp_path, places):
    places.to_parquet(tmp_path / "in.parquet")
    with pytest.raises(EarthEmbedError, match=r"cannot write .*No such file or directory"):
        embed_table(_never, tmp_path / "in.parquet", tmp_path / "absent" / "out.parquet")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(EarthEmbedError, match=r"cannot write .*folder"):
        embed_table(_never, tmp_path / "in.parquet", tmp_path / "folder.parquet")


def _never(lonlat):
    raise AssertionError("embedded although the output cannot be written")


_never.dim = 3


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_full_disk_loses_nothing(tmp_path, suffix):
    """The kernel itself refuses to write further, here at a limit on a file's size."""
    source, output = tmp_path / "in.csv", tmp_path / f"out.{suffix}"
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"lon": rng.uniform(-180, 180, 5000), "lat": rng.uniform(-90, 90, 5000)})
    frame.to_csv(source)
    output.write_text("what stood here before")
    error = r"cannot write .*out.*File too large"
    with limited_file_size(40_000), pytest.raises(EarthEmbedError, match=error):
        embed_table(UnitVector(), source, output, batch_size=100)
    assert output.read_text() == "what stood here before"
    assert {file.name for file in tmp_path.iterdir()} == {source.name, output.name}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_killed_at_any_moment_and_done_again(tmp_path, places, suffix):
    def make(name):
        (tmp_path / name).mkdir()
        places.to_csv(tmp_path / name / "in.csv")
        (tmp_path / name / f"out.{suffix}").write_text("what stood here before")
        return tmp_path / name

    assert_survives(
        make, lambda folder: embed_table(UnitVector(), folder / "in.csv", folder / f"out.{suffix}")
    )
