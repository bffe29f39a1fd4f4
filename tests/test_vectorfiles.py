"""No file of points or polygons makes GDAL ask the network, whatever its name says it is."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from earth_embed.errors import DataError
from earth_embed.geotable import read_geotable
from earth_embed.tasks.polygons import read_polygons

POINT = {"type": "Point", "coordinates": [1, 2]}
AREA = {"type": "Polygon", "coordinates": [[[0, 0], [0, 2], [2, 2], [0, 0]]]}
READERS = {
    "a.geojson": (POINT, read_geotable),
    "b.geojson": (AREA, lambda path: read_polygons(path, "name")),
    "b.json": (AREA, lambda path: read_polygons(path, "name")),
}


@pytest.fixture
def asked():
    """Addresses that were asked for, and the server that notes them."""
    paths = []

    class Note(BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Note) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield paths, f"http://127.0.0.1:{server.server_port}/there"
        server.shutdown()


def collection(shape, **members):
    feature = {"type": "Feature", "properties": {"name": "x"}, "geometry": shape}
    return json.dumps({"type": "FeatureCollection", **members, "features": [feature]})


def linked(kind, address, **members):
    return {**members, "type": kind, "properties": {"href": address, "type": "proj4"}}


FILES = {
    "link": lambda shape, address: collection(shape, crs=linked("link", address)),
    "URL": lambda shape, address: collection(shape, CRS=linked("URL", address)),
    "two types": lambda shape, address: collection(shape, crs=linked("name", address, TYPE="link")),
    "in the geometry": lambda shape, address: collection(shape | {"crs": linked("link", address)}),
    "escaped": lambda shape, address: collection(shape, crs=linked("link", address)).replace(
        '"crs"', r'"\u0063rs"'
    ),
    "endless": lambda shape, address: '{"crs": ' + '{"a":' * 99_999,
    "program": lambda shape, address: json.dumps(
        {
            "type": "gdal_streamed_alg",
            "command_line": f"gdal vector pipeline ! read /vsicurl/{address} ! filter --where a=1",
        }
    ),
    "virtual": lambda shape, address: (
        f'<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/vsicurl/{address}'
        "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    ),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", FILES)
def test_no_address_is_fetched(tmp_path, asked, name, kind):
    paths, address = asked
    shape, read = READERS[name]
    (tmp_path / name).write_text(FILES[kind](shape, address))
    with pytest.raises(DataError, match=rf"cannot read .*{name}: (expected|its crs) "):
        read(tmp_path / name)
    assert paths == []


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("crs", [None, {"type": "name", "properties": {"name": "EPSG:4326"}}])
def test_a_crs_by_name_is_read(tmp_path, name, crs):
    shape, read = READERS[name]
    (tmp_path / name).write_text(collection(shape, crs=crs, title='the "crs": a word'))
    read(tmp_path / name)
