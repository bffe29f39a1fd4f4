"""The polygon of a place is the one that shapely's own `contains` finds, point by point."""

import json

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon, box

from earth_embed.errors import DataError
from earth_embed.tasks.polygons import POLYGON_SUFFIXES, polygon_of, read_polygons


def star(rng, x, y, radius):
    """A jagged polygon with a hole."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
    outer = radius * rng.uniform(0.6, 1, 12)
    centre, around = np.array([x, y]), np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Polygon(centre + outer[:, None] * around, [centre + 0.3 * radius * around])


def frame(polygons, crs="EPSG:4326"):
    names = [f"p{i}" for i in range(len(polygons))]
    return geopandas.GeoDataFrame({"name": names}, geometry=polygons, crs=crs)


def by_contains(polygons, points):
    found = [
        next((i for i, polygon in enumerate(polygons) if polygon.contains(Point(point))), -1)
        for point in points
    ]
    return np.array(found)


def test_polygons_with_holes_agree_with_contains_point_by_point(rng):
    stars = [star(rng, x, y, 12) for x in (-40, 0, 40) for y in (-30, 0, 30)]
    stars.append(MultiPolygon([star(rng, 80, 0, 10), star(rng, 110, 20, 10)]))
    stars.append(box(-50, -40, 0, 0))  # overlaps: the first of several counts
    lonlat = rng.uniform([-60, -50], [125, 50], (600, 2))
    found = polygon_of(frame(stars), lonlat)
    np.testing.assert_array_equal(found, by_contains(stars, lonlat))
    assert len(np.unique(found)) == len(stars) + 1
    holes = np.array([[x, y] for x in (-40, 0, 40) for y in (0, 30)], float)
    assert (polygon_of(frame(stars[:9]), holes) == -1).all()


@pytest.mark.parametrize("crs", ["EPSG:3035", "EPSG:32632", "EPSG:3857", "ESRI:54009"])
def test_places_are_brought_to_the_polygons_crs_as_pyproj_does(rng, crs):
    transform = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform
    lonlat = rng.uniform([5, 45], [13, 55], (200, 2))
    x, y = transform(*lonlat.T)
    polygons = [star(rng, a, b, 3e5) for a, b in np.stack([x, y], 1)[:4]]
    found = polygon_of(frame(polygons, crs), lonlat)
    np.testing.assert_array_equal(found, by_contains(polygons, np.stack([x, y], 1)))
    assert len(np.unique(found)) > 2


def test_polygons_over_the_antimeridian_cut_or_not_are_the_same(rng):
    whole = frame([box(170, -20, 195, 20), box(-200, 30, -170, 50)])
    cut = frame(
        [
            MultiPolygon([box(170, -20, 180, 20), box(-180, -20, -165, 20)]),
            MultiPolygon([box(160, 30, 180, 50), box(-180, 30, -170, 50)]),
        ]
    )
    unsigned = frame([box(170, -20, 195, 20), box(160, 30, 190, 50)])
    lonlat = rng.uniform([-180, -30], [180, 60], (500, 2))
    lonlat[:250, 0] = (lonlat[:250, 0] * 0.2 + 360) % 360 - 180
    lonlat = np.concatenate([lonlat, [[180, 0], [-180, 0], [180, 40], [-180, 40]]])
    expected = polygon_of(cut, lonlat)
    assert expected[-4:].tolist() == [0, 0, 1, 1]
    assert min(np.bincount(expected + 1)) > 20
    for polygons in (whole, unsigned):
        np.testing.assert_array_equal(polygon_of(polygons, lonlat), expected)


def test_polygons_stitched_over_the_antimeridian_and_round_a_pole_are_unwound(rng):
    coast = np.stack([np.arange(-180, 180, 10), -70 + 5 * np.sin(np.arange(36.0))], axis=1)
    stitched = Polygon(
        [[160, -20], [178, -18], [-175, -25], [-160, -20], [-160, 20], [160, 20]],
        [[[175, -5], [-175, -5], [-175, 5], [175, 5]]],
    )
    run_on = Polygon(
        [[160, -20], [178, -18], [185, -25], [200, -20], [200, 20], [160, 20]],
        [[[175, -5], [185, -5], [185, 5], [175, 5]]],
    )
    around = Polygon([*coast, [180, coast[0, 1]], [180, -90], [-180, -90]])
    lonlat = rng.uniform([-180, -88], [180, 30], (1500, 2))
    lonlat[:700, 0] = (lonlat[:700, 0] * 0.15 + 360) % 360 - 180
    expected = polygon_of(frame([run_on, around]), lonlat)
    pole = [(lon, -89.999) for lon in (-180, 178, 90, 0, -90, -178)]
    for pole_crossing in (Polygon(coast), Polygon(coast[::-1]), Polygon(pole, [coast])):
        found = polygon_of(frame([stitched, pole_crossing]), lonlat)
        np.testing.assert_array_equal(found, expected)
    assert min(np.bincount(expected + 1)) > 100
    in_hole = (np.abs(lonlat[:, 1]) < 5) & (np.abs(np.abs(lonlat[:, 0]) - 180) < 5)
    assert in_hole.any()
    assert (expected[in_hole] == -1).all()


def test_a_wide_polygon_that_is_valid_stays_as_it_is():
    wide = frame([box(-150, -10, 150, 10), box(-180, -90, 180, -60)])
    places = np.array([[0.0, 0], [170, 0], [-170, 0], [0, -80], [179, -80]])
    assert polygon_of(wide, places).tolist() == [0, -1, -1, 1, 1]


def test_a_border_belongs_to_the_first_of_its_polygons():
    polygons = frame([box(0, 0, 1, 1), box(1, 0, 2, 1)])
    assert polygon_of(polygons, np.array([[1.0, 0.5], [2.0, 0.5]])).tolist() == [0, 1]


def test_places_that_the_projection_cannot_show_have_no_polygon():
    # Half of the Earth lies behind the horizon of an orthographic map.
    seen = frame([Point(0, 0).buffer(6.3e6)], "+proj=ortho +lat_0=0 +lon_0=0")
    assert polygon_of(seen, np.array([[10.0, 10.0], [170.0, 10.0]])).tolist() == [0, -1]


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson", "a.fgb"])
def test_formats_agree(tmp_path, rng, name):
    polygons = frame([star(rng, x, 0, 12) for x in (-40, 0, 40)])
    polygons.to_file(tmp_path / name)
    read = read_polygons(tmp_path / name, "name")
    lonlat = rng.uniform([-60, -20], [60, 20], (200, 2))
    index = polygon_of(read, lonlat)
    expected = polygon_of(polygons, lonlat)
    names, expected_names = ([*data["name"], None] for data in (read, polygons))  # -1: none
    assert [names[i] for i in index] == [expected_names[i] for i in expected]


def test_a_column_of_several_layers_is_asked_for_by_layer(tmp_path):
    path = tmp_path / "a.gpkg"
    for layer, side in (("ADM_0", 10), ("ADM_1", 5)):
        frame([box(0, 0, side, side)]).assign(**{layer: "x"}).to_file(path, layer=layer)
    with pytest.raises(DataError, match=r"LAYER/COLUMN, one of ADM_0: name, ADM_0; ADM_1: name"):
        read_polygons(path, "name")
    assert read_polygons(path, "ADM_1/name").total_bounds.tolist() == [0, 0, 5, 5]
    assert read_polygons(path, "ADM_0").total_bounds.tolist() == [0, 0, 10, 10]
    with pytest.raises(DataError, match=r"a column of ADM_0: name.*found 'nome'"):
        read_polygons(path, "nome")


def test_what_is_no_file_of_polygons_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file of polygons"):
        read_polygons(tmp_path / "none.gpkg", "name")
    (tmp_path / "bad.geojson").write_text(json.dumps({"a": 1}))
    with pytest.raises(DataError, match=r"cannot read .*bad\.geojson"):
        read_polygons(tmp_path / "bad.geojson", "name")
    frame(shapely.points([[0, 0], [1, 1]])).to_file(tmp_path / "points.geojson")
    with pytest.raises(DataError, match="expected polygons, found Point"):
        read_polygons(tmp_path / "points.geojson", "name")


@pytest.mark.parametrize("suffix", POLYGON_SUFFIXES)
def test_contents_of_another_format_reach_no_other_driver(tmp_path, suffix):
    """A virtual file of GDAL's, under each name: it may name what lies in the network."""
    frame([box(0, 0, 1, 1)]).to_file(tmp_path / "real.gpkg", layer="real")
    path = tmp_path / f"virtual{suffix}"
    path.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="real"><SrcDataSource relativeToVRT="1">real.gpkg'
        "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    with pytest.raises(DataError, match=r"expected a file that begins with b.*, found b'<"):
        read_polygons(path, "name")


def test_a_byte_order_mark_is_no_other_format(tmp_path):
    path = tmp_path / "a.geojson"
    frame([box(0, 0, 1, 1)]).to_file(path)
    path.write_bytes(b"\xef\xbb\xbf\n" + path.read_bytes())
    assert list(read_polygons(path, "name")["name"]) == list(frame([box(0, 0, 1, 1)])["name"])
