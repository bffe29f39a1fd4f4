"""A user's tasks: what is asked for, what is read, and files in the form of published ones."""

import json
import os
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import MultiPolygon, Point, box

from earth_embed.coordinates import unit_vector
from earth_embed.errors import ConfigError, CoordinateError, DataError
from earth_embed.tasks.labels import refuse_leaks
from earth_embed.tasks.user_tasks import (
    Task,
    at_the_same_places,
    parse_task,
    parse_tasks,
    read_task,
)


def read(text, lonlat=((0.0, 0.0),)):
    labels = read_task(parse_task(text), np.asarray(lonlat, float))
    (target,) = labels.targets.values()
    assert target.values.shape == (len(labels.lonlat),)
    return labels.lonlat, target


def named(target):
    """The class names at the places."""
    return [target.classes[i] for i in target.values]


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("elevation=srtm.tif", Task("elevation", Path("srtm.tif"), "1")),
        ("t=a/wc.tiff:12", Task("t", Path("a/wc.tiff"), "12")),
        ("zone=k.PNG:class", Task("zone", Path("k.PNG"), "1", "class")),
        ("zone=k.vrt:2:class", Task("zone", Path("k.vrt"), "2", "class")),
        ("pop=gpw.tif:log", Task("pop", Path("gpw.tif"), "1", "log")),
        ("biome=e.shp:BIOME_NAME", Task("biome", Path("e.shp"), "BIOME_NAME")),
        ("biome=e.shp:BIOME_NUM:class", Task("biome", Path("e.shp"), "BIOME_NUM", "class")),
        ("c=gadm.gpkg:ADM_0/COUNTRY", Task("c", Path("gadm.gpkg"), "ADM_0/COUNTRY")),
        ("x=a.csv:class", Task("x", Path("a.csv"), "class")),
        ("x=a.csv:p:q:log", Task("x", Path("a.csv"), "p:q", "log")),
        ("x=C:\\d.csv\\a.tif.csv:y", Task("x", Path("C:\\d.csv\\a.tif.csv"), "y")),
    ],
)
def test_a_task_says_name_file_field_and_form(text, task):
    assert parse_task(text) == task


@pytest.mark.parametrize(
    "text",
    [
        *(
            "srtm.tif",
            "=a.tif",
            "a b=c.tif",
            "a=c.xyz:1",
            "a=c.tif:b",
            "a=c.tif:1:2",
            "a=c.tif:1:exp",
            "a=c.tif:log:1",
        ),
        *("a=c.csv", "a=c.csv:", "a=c.gpkg", ""),
    ],
)
def test_what_is_no_task_is_told_what_one_is(text):
    with pytest.raises(ConfigError, match=r"expected NAME=RASTER.*class or log.*\.tif.*\.gpkg"):
        parse_task(text)


@given(
    name=st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True),
    file=st.text(alphabet="ab./:= ", min_size=1, max_size=8),
    column=st.text(alphabet="aB_ /é:", min_size=1, max_size=8),
    form=st.sampled_from(["", "class", "log"]),
)
def test_a_task_of_a_table_is_read_back_as_it_was_written(name, file, column, form):
    task = parse_task(f"{name}={file}.csv:{column}" + (f":{form}" if form else ""))
    assert task == Task(name, Path(f"{file}.csv"), column, form)


def test_names_are_distinct():
    with pytest.raises(ConfigError, match="more than one task is named a"):
        parse_tasks(["a=b.tif", "a=c.tif"])


LONLAT = np.array([[10.0, 10.0], [20.0, 20.0], [30.0, 30.0], [40.0, 40.0]])


def table(path, **columns):
    pd.DataFrame({"lng": LONLAT[:, 0], "LAT": LONLAT[:, 1], **columns}).to_csv(path, index=False)
    return path


def test_a_table_is_scored_at_its_own_places_where_it_has_a_value(tmp_path):
    path = table(
        tmp_path / "a.csv", y=[1.0, None, 3.0, 5.0], z=["a", "b", " ", None], w=[9, 9, 0, 99]
    )
    lonlat, target = read(f"y={path}:y")
    np.testing.assert_array_equal(lonlat, LONLAT[[0, 2, 3]])
    np.testing.assert_array_equal(target.values, [1, 3, 5])
    assert (target.kind, target.dropped, target.unit) == ("regression", {"no value": 1}, "y")
    assert target.source == "a.csv:y"
    lonlat, target = read(f"z={path}:z")
    assert (named(target), target.dropped) == (["a", "b"], {"no value": 2})
    assert read(f"w={path}:w:class")[1].classes == ("0", "9", "99")  # in the order of numbers
    np.testing.assert_allclose(read(f"w={path}:w:log")[1].values, [1, 1, 0, 2])


@pytest.mark.parametrize(
    "names",
    ["lon,lat", "Longitude,LATITUDE", "lng,lat", "long,lat", "decimalLongitude,decimalLatitude"],
)
def test_coordinates_have_their_usual_spellings(tmp_path, names):
    (tmp_path / "a.csv").write_text(f"y,{names}\n1,20,10\n2,350,-10\n")
    lonlat, _ = read(f"t={tmp_path / 'a.csv'}:y")
    np.testing.assert_array_equal(lonlat, [[20, 10], [-10, -10]])


def test_a_geoparquet_of_points_is_brought_to_degrees(tmp_path):
    frame = geopandas.GeoDataFrame({"y": [1, 2, 3, 4]}, geometry=[Point(p) for p in LONLAT])
    frame.set_crs("EPSG:4326").to_crs("EPSG:3857").to_parquet(tmp_path / "a.parquet")
    lonlat, target = read(f"y={tmp_path / 'a.parquet'}:y")
    np.testing.assert_allclose(lonlat, LONLAT, atol=1e-9)
    np.testing.assert_array_equal(target.values, [1, 2, 3, 4])


def test_values_that_do_not_fit_the_form_are_refused(tmp_path):
    path = table(tmp_path / "a.csv", y=[1.5, 2, 3, -4], z=list("abcd"), c=[7, 7, 7, 7])
    for text, message in (
        (f"t={path}:y:class", r"whole numbers, found 1\.5"),
        (f"t={path}:y:log", "numbers ≥ 0, found -4"),
        (f"t={path}:z:log", "expected numbers, found text"),
        (f"t={path}:c", "two values or more at its places, found 1 at 4"),
        (f"t={path}:x", "no column 'x'; it has lng, LAT, y, z, c"),
    ):
        with pytest.raises(DataError, match=message):
            read(text)
    (tmp_path / "b.csv").write_text("lon,lat,y\n5,95,1\n6,6,2\n")
    with pytest.raises(CoordinateError, match=r"lat must lie in \[-90, 90\]"):
        read(f"t={tmp_path / 'b.csv'}:y")


def test_the_layer_of_a_task_is_its_name(tmp_path):
    _, target = read(f"rain={table(tmp_path / 'a.csv', y=[1, 2, 3, 4])}:y")
    with pytest.raises(DataError, match=r"'rain' \(layer rain\)"):
        refuse_leaks({"rain": target}, frozenset({"rain", "relief"}))
    refuse_leaks({"rain": target}, frozenset({"relief"}))


def test_tasks_at_the_same_places_are_joined_and_others_are_not(tmp_path):
    path = table(tmp_path / "a.csv", x=[1, 2, 3, 4], y=[4, 3, 2, 1], z=[1, 2, None, 3])
    parts = [read_task(parse_task(f"{name}={path}:{name}"), LONLAT) for name in "xzy"]
    joined = at_the_same_places(parts)
    assert [list(part.targets) for part in joined] == [["x", "y"], ["z"]]


# Published files, in their own form: `docs/pages/how-to/tasks.md` says where they are.


def test_gridded_population_of_the_world(tmp_path):
    """2.5′ float32 GeoTIFF whose nodata is float32's least number in double precision."""
    path = tmp_path / "gpw_v4_population_count_rev11_2020_2pt5_min.tif"
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "crs": "EPSG:4326"}
    size = {"width": 8640, "height": 4320, "transform": Affine(1 / 24, 0, -180, 0, -1 / 24, 90)}
    with rasterio.open(
        path, "w", nodata=-3.4028230607370965e38, compress="lzw", SPARSE_OK=True, **profile, **size
    ) as raster:
        pixels = np.array([[0, 9, 99], [999, -3.4028230607370965e38, 9999]], np.float32)
        raster.write(pixels, 1, window=((1000, 1002), (4500, 4503)))
    column, row = np.meshgrid([4500, 4501, 4502], [1000, 1001])
    lonlat = np.stack([-180 + (column + 0.5) / 24, 90 - (row + 0.5) / 24], axis=-1).reshape(-1, 2)
    places, target = read(f"population={path}:log", [*lonlat, [0.0, 0.0]])
    np.testing.assert_allclose(target.values, [0, 1, 2, 3, 4], rtol=1e-6)
    np.testing.assert_array_equal(places, np.delete(lonlat, 4, axis=0))
    assert target.dropped == {"no data": 2}


def test_gadm(tmp_path):
    """A GeoPackage with a layer for each level, each with the columns of those above."""
    path = tmp_path / "gadm_410-levels.gpkg"
    countries = {"GID_0": ["CHE", "FRA"], "COUNTRY": ["Switzerland", "France"]}
    shapes = [box(6, 46, 10, 47.5), MultiPolygon([box(-1, 43, 6, 49), box(-53, 2, -52, 5)])]
    frame = geopandas.GeoDataFrame(countries, geometry=shapes, crs="EPSG:4326")
    frame.to_file(path, layer="ADM_0")
    frame.assign(GID_1=["CHE.1_1", "FRA.1_1"]).to_file(path, layer="ADM_1")
    lonlat = [[8.5, 47.3], [-52.5, 4], [2.3, 48.8], [20, 20]]
    _, target = read(f"country={path}:ADM_0/COUNTRY", lonlat)
    assert named(target) == ["Switzerland", "France", "France"]
    assert target.dropped == {"in no polygon": 1}
    assert named(read(f"country={path}:ADM_0/GID_0", lonlat)[1]) == ["CHE", "FRA", "FRA"]
    assert named(read(f"region={path}:GID_1", lonlat)[1]) == ["CHE.1_1", "FRA.1_1", "FRA.1_1"]


def test_natural_earth_topojson(tmp_path):
    """Quantised arcs that two countries share, and ISO numeric codes as text in `id`."""
    arcs = [
        [[10, 0], [0, 10]],  # the border, from (10, 0) to (10, 10)
        [[10, 10], [-10, 0], [0, -10], [10, 0]],
        [[10, 0], [10, 0], [0, 10], [-10, 0]],
    ]
    shapes = [
        {"type": "Polygon", "arcs": [[0, 1]], "id": "004", "properties": {"name": "West"}},
        {"type": "Polygon", "arcs": [[2, -1]], "id": "008", "properties": {"name": "East"}},
    ]
    countries = {"type": "GeometryCollection", "geometries": shapes}
    transform = {"scale": [2.0, 1.0], "translate": [-20.0, 30.0]}
    topology = {"type": "Topology", "objects": {"countries": countries}, "arcs": arcs}
    path = tmp_path / "countries.json"
    path.write_text(json.dumps(topology | {"transform": transform}))
    _, target = read(f"country={path}:countries/id", [[-10, 35], [5, 35], [30, 35]])
    assert named(target) == ["004", "008"]
    assert target.dropped == {"in no polygon": 1}


def test_resolve_ecoregions(tmp_path):
    """A shapefile: text cut to its columns' widths, and the biome's number as a float."""
    path = tmp_path / "Ecoregions2017.shp"
    columns = {
        "OBJECTID": [1.0, 2.0],
        "ECO_NAME": ["Adelie Land tundra", "Admiralty Islands lowland rain forests"],
        "BIOME_NUM": [11.0, 1.0],
        "BIOME_NAME": ["Tundra", "Tropical & Subtropical Moist Broadleaf Forests"],
        "REALM": ["Antarctica", "Australasia"],
    }
    shapes = [box(139, -67, 142, -66), box(146, -3, 148, -1)]
    geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:4326").to_file(path)
    lonlat = [[147, -2], [140, -66.5], [0, 0]]
    _, target = read(f"biome={path}:BIOME_NAME", lonlat)
    assert named(target) == ["Tropical & Subtropical Moist Broadleaf Forests", "Tundra"]
    assert target.dropped == {"in no polygon": 1}
    assert named(read(f"biome={path}:BIOME_NUM:class", lonlat)[1]) == ["1", "11"]
    assert named(read(f"ecoregion={path}:ECO_NAME", lonlat)[1]) == columns["ECO_NAME"][::-1]


def test_air_temperature_stations(tmp_path):
    path = tmp_path / "stations.csv"
    header = "Lon,Lat,nObs,SG_rmsep,meanT,meanP,G_rmsep,C_rmsep,PerMod_RMSEP\n"
    first = "7.82,36.83,0.975,0.75,18.025000000000002,694,0.76,0.81,-0.03\n"
    path.write_text(header + first + "3.25,36.72,1,0.92,9.5,672,0.87,0.95,0.02\n")
    lonlat, target = read(f"temperature={path}:meanT")
    np.testing.assert_array_equal(lonlat, [[7.82, 36.83], [3.25, 36.72]])
    np.testing.assert_array_equal(target.values, [18.025000000000002, 9.5])
    np.testing.assert_array_equal(read(f"rain={path}:meanP")[1].values, [694, 672])


def test_koppen_geiger_image(tmp_path):
    pixels = np.full((90, 180), 32, np.uint8)  # 32 is ocean
    pixels[21, 94] = 9
    Image.fromarray(pixels).save(tmp_path / "koppen.png")
    _, target = read(f"koppen={tmp_path / 'koppen.png'}:class", [[9.0, 47.0], [-30.0, 0.0]])
    assert (target.kind, named(target)) == ("classification", ["9", "32"])
    assert "taken as the globe" in target.source


def test_california_housing(tmp_path):
    path = tmp_path / "housing.csv"
    names = (
        "longitude,latitude,housing_median_age,total_rooms,total_bedrooms,population,households,"
    )
    path.write_text(
        f"{names}median_income,median_house_value,ocean_proximity\n"
        "-122.23,37.88,41.0,880.0,129.0,322.0,126.0,8.3252,452600.0,NEAR BAY\n"
        "-122.22,37.86,21.0,7099.0,,2401.0,1138.0,8.3014,358500.0,<1H OCEAN\n"
    )
    lonlat, target = read(f"income={path}:median_income")
    np.testing.assert_array_equal(lonlat, [[-122.23, 37.88], [-122.22, 37.86]])
    np.testing.assert_array_equal(target.values, [8.3252, 8.3014])


needs_data = pytest.mark.skipif(
    "EARTH_EMBED_DATA" not in os.environ, reason="EARTH_EMBED_DATA names no folder of real data"
)


@needs_data
def test_published_files_themselves(rng):
    folder = Path(os.environ["EARTH_EMBED_DATA"]) / "labels"
    cities = np.array(
        [[8.55, 47.37], [-46.63, -23.55], [37.62, 55.75], [179.0, 67.5], [-173.0, 65.0]]
    )
    countries = folder / "natural_earth_countries_50m.topo.json"
    _, target = read(f"country={countries}:countries/id", cities)
    assert named(target) == ["756", "076", "643", "643", "643"]  # Russia on both sides of 180°

    poles_and_seam = np.array([[0.0, -80], [100.0, -89], [179.0, -16.8], [-179.95, -16.46]])
    _, target = read(f"country={countries}:countries/name", poles_and_seam)
    assert named(target) == ["Antarctica", "Antarctica", "Fiji", "Fiji"]

    legend = pd.read_csv(folder / "koppen_geiger_legend.csv").set_index("zoneNum")["kg_zone"]
    _, target = read(f"k={folder / 'koppen_geiger_rubel_12960x6480.png'}:class", cities)
    assert [legend[int(name)] for name in named(target)][:3] == ["Cfb", "Cfa", "Dfb"]

    stations = folder / "air_temperature_stations.csv"
    lonlat, target = read(f"t={stations}:meanT")
    assert (len(target.values), target.dropped) == (3076, {})
    assert np.corrcoef(target.values, unit_vector(lonlat)[:, 2] ** 2)[0, 1] < -0.8

    _, target = read(f"income={folder / 'california_housing.csv'}:median_income")
    assert len(target.values) == 20640
    assert target.values.mean() == pytest.approx(3.8707, abs=1e-4)


def test_truth_values_may_be_missing(tmp_path):
    (tmp_path / "a.csv").write_text("lon,lat,v\n1,1,true\n2,2,\n3,3,false\n")
    lonlat, target = read(f"t={tmp_path / 'a.csv'}:v")
    assert named(target) == ["True", "False"]
    assert target.dropped == {"no value": 1}
    np.testing.assert_array_equal(lonlat, [[1, 1], [3, 3]])


@pytest.mark.parametrize(
    ("cells", "form", "message"),
    [
        (["2020-01-01", "2021-01-01"], "", "expected numbers, text or truth values in 'v', found "),
        (["1e300", "2"], ":class", r"'class' expected whole numbers, found 1e\+300"),
    ],
)
def test_values_of_other_kinds_are_refused(tmp_path, cells, form, message):
    (tmp_path / "a.csv").write_text("lon,lat,v\n" + "".join(f"1,1,{cell}\n" for cell in cells))
    with pytest.raises(DataError, match=message):
        read(f"t={tmp_path / 'a.csv'}:v{form}")
