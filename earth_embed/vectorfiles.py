"""Files of points or polygons, refused before GDAL opens them where they could reach the network.

GDAL goes by the contents alone: a file of any name could be read by one of its other drivers, most
of which read XML.
"""

from __future__ import annotations

import codecs
import json
import mmap
import re
from pathlib import Path

from earth_embed.errors import DataError

_JSON = b"{"

BEGINNINGS = {
    ".gpkg": b"SQLite format 3\0",
    ".shp": b"\0\0\x27\x0a",
    ".fgb": b"fgb",
    **dict.fromkeys((".geojson", ".json", ".topojson"), _JSON),
}
"""File name suffix → how such a file begins."""

_PIPELINE = re.compile(rb"gdal_streamed_alg|\\u00[4-7]")
"""A program of GDAL's own in JSON; and escaped letters, which nobody writes but to hide a word."""

_CRS = re.compile(rb'"crs"\s*:\s*(?={)', re.IGNORECASE)

_LONGEST_CRS = 1 << 16


def check_vector_file(path: Path) -> None:
    """Looks at a file's contents before GDAL does.

    Args:
        path: A file with one of the suffixes of `BEGINNINGS`.

    Raises:
        DataError: it cannot be read, its contents are not of the kind that its name says, or it is
            JSON that names a CRS or data by address.
    """
    expected = BEGINNINGS[path.suffix.lower()]
    try:
        with path.open("rb") as file:
            found = file.read(64).removeprefix(codecs.BOM_UTF8).lstrip()
            if found.startswith(_JSON) and expected == _JSON:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    _check_json(path, content)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not found.startswith(expected):
        raise DataError(
            f"cannot read {path}: expected a file that begins with {expected!r}, found "
            f"{found[: len(expected)]!r}"
        )


def _check_json(path: Path, content: mmap.mmap) -> None:
    if hidden := _PIPELINE.search(content):
        raise DataError(f"cannot read {path}: expected GeoJSON or TopoJSON, found {hidden[0]!r}")
    for key in _CRS.finditer(content):
        text = content[key.end() : key.end() + _LONGEST_CRS].decode("utf-8", "replace")
        try:
            # As pairs: GDAL takes a member of any case, and the first of several.
            crs, _ = json.JSONDecoder(object_pairs_hook=list).raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"cannot read {path}: its crs is no JSON: {error}") from error
        for name, kind in crs:
            if name.lower() == "type" and str(kind).lower() not in ("name", "epsg", "ogc"):
                raise DataError(
                    f'cannot read {path}: expected a crs of type "name", found {str(kind)[:60]!r}; '
                    "one that stands at an address is not fetched"
                )
