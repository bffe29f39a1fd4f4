"""The pixel of a user's raster that contains each place, in any CRS that GDAL reads."""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from earth_embed.errors import DataError, require

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".vrt": "VRT", ".png": "PNG"}
"""File name suffix of a raster → the driver that reads it. GDAL would go by the contents: a file of
any name could reach the network through one of its other drivers."""

RASTER_SUFFIXES = tuple(DRIVERS)

MAX_BLOCK = 2**28
"""Most pixels of a block, the part of a file that GDAL decodes at once and holds: 2 GiB of float64.
A raster has any size, but one whose blocks are larger cannot be read pixel by pixel."""

NO_DATA, OUTSIDE = "no data", "outside the raster"
"""Reasons why a place has no value."""


class Pixels(NamedTuple):
    """Pixel values at N places.

    Attributes:
        values: (N,) in the file's dtype, or float64 if the file gives a scale or offset;
            meaningless where `fault` is not empty.
        fault: (N,) strings, the reason why there is no value, or "".
        note: What was assumed about the file, or "".
    """

    values: np.ndarray
    fault: np.ndarray
    note: str


def pixels_at(path: Path, band: int, lonlat: np.ndarray) -> Pixels:
    """Reads the pixel that contains each place.

    A raster in degrees is looked up modulo 360°, so it may span 0..360 or cross the antimeridian.

    Args:
        path: A raster. Without georeference it must be twice as wide as high, and is taken as the
            whole globe: columns −180..180, rows 90..−90.
        band: Its band, counted from 1.
        lonlat: (N, 2), degrees.

    Raises:
        DataError: the file is unreadable, has no such band, or has an unknown location.
    """
    with _open(path) as raster:
        if not 1 <= band <= raster.count:
            raise DataError(f"{path}: expected a band of 1..{raster.count}, found {band}")
        _check_band(raster, band, path)
        transform, note = _transform(raster, path)
        row, column, inside = _pixel(raster, transform, lonlat)
        values = np.zeros(len(lonlat), raster.dtypes[band - 1])
        missing = np.zeros(len(lonlat), bool)
        # Row by row, so that a compressed file is decoded once from top to bottom.
        for i in np.flatnonzero(inside)[np.lexsort((column[inside], row[inside]))]:
            window = ((row[i], row[i] + 1), (column[i], column[i] + 1))
            pixel = raster.read(band, window=window, masked=True)
            values[i], missing[i] = pixel.data[0, 0], np.ma.getmaskarray(pixel)[0, 0]
        scale, offset = raster.scales[band - 1], raster.offsets[band - 1]
    if np.issubdtype(values.dtype, np.floating):
        missing |= ~np.isfinite(values)
    if (scale, offset) != (1.0, 0.0):
        values = values * scale + offset
    fault = np.where(inside, np.where(missing, NO_DATA, ""), OUTSIDE)
    return Pixels(values, fault, note)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as error:
        raise require("rasterio", "evaluate", "a task from a raster") from error
    if not path.is_file():
        raise DataError(f"no such raster: {path}")
    driver = DRIVERS[path.suffix.lower()]
    if driver == "VRT":
        _check_local(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # handled by `_transform`
            with rasterio.open(path, driver=driver) as raster:
                yield raster
    except RasterioError as error:
        raise DataError(f"cannot read {path} as {driver}: {error}") from error


def _check_local(path: Path, above: frozenset[Path] = frozenset()) -> None:
    """Raises a DataError unless a VRT and those that it names name only files of this machine."""
    try:
        elements = list(ElementTree.parse(path).iter())
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise DataError(f"cannot read {path} as VRT: {error}") from error
    for element in elements:
        for text in filter(None, (element.text, element.tail, *element.attrib.values())):
            if "/vsi" in text or "://" in text:
                raise DataError(f"{path}: expected a VRT of files on this machine, found {text!r}")
        if element.tag not in ("SourceFilename", "SourceDataset"):
            continue
        name = element.text or ""
        source = path.parent / name if element.get("relativeToVRT") == "1" else Path(name)
        if not source.is_file():  # PLMosaic:…, say, is a service
            raise DataError(f"{path}: expected a VRT of files on this machine, found {name!r}")
        with source.open("rb") as file:
            start = file.read(64).removeprefix(codecs.BOM_UTF8).lstrip()
        if start.startswith((b"<", b"{")) and source not in above:  # may name others in turn
            _check_local(source, above | {source})


def _check_band(raster: Any, band: int, path: Path) -> None:
    """Raises a DataError if a band holds no numbers, or in blocks too large to read."""
    kind, (height, width) = raster.dtypes[band - 1], raster.block_shapes[band - 1]
    if kind.startswith("complex"):
        raise DataError(f"{path}: expected real numbers in band {band}, found {kind}")
    if height * width > MAX_BLOCK:
        raise DataError(
            f"{path}: expected blocks of at most {MAX_BLOCK:,} pixels, found {height} × {width}"
        )
    if raster.transform.is_degenerate:
        raise DataError(f"{path}: expected a georeference that can be inverted")


def _transform(raster: Any, path: Path) -> tuple[Any, str]:
    """The affine map from (column, row) to the raster's coordinates, and what was assumed."""
    from affine import Affine

    if raster.crs is not None:
        return raster.transform, ""
    if raster.transform.is_identity:
        if raster.width != 2 * raster.height:
            raise DataError(
                f"{path} has no georeference: expected one, or a raster of the whole globe that is "
                f"twice as wide as high; found {raster.width} × {raster.height} pixels"
            )
        globe = Affine(360 / raster.width, 0, -180, 0, -180 / raster.height, 90)
        return globe, "no georeference: taken as the globe, −180..180 and 90..−90"
    left, bottom, right, top = raster.bounds
    slack = 1.0  # rasters of the globe may extend half a pixel beyond a pole
    if min(left, right) < -180 - slack or max(left, right) > 360 + slack or top - bottom > 181:
        raise DataError(
            f"{path} has no CRS: expected one, or extents in degrees; found "
            f"x {left:g}..{right:g}, y {bottom:g}..{top:g}"
        )
    return raster.transform, "no CRS: taken as degrees"


def _pixel(
    raster: Any, transform: Any, lonlat: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column of each place, (N,) int64, and whether they lie inside the raster."""
    from rasterio.warp import transform as reproject

    degrees = raster.crs is None or raster.crs.is_geographic
    x, y = lonlat.T
    if raster.crs is not None:
        x, y = map(np.asarray, reproject("EPSG:4326", raster.crs, x, y))
    row, column = np.zeros(len(lonlat), np.int64), np.zeros(len(lonlat), np.int64)
    inside = np.zeros(len(lonlat), bool)
    a, b, c, d, e, f = tuple(~transform)[:6]
    with np.errstate(invalid="ignore"):  # places outside the projection are infinite
        for turn in (0, 360, -360) if degrees else (0,):
            across, down = a * (x + turn) + b * y + c, d * (x + turn) + e * y + f
            # The lower edge, such as the South Pole, belongs to the last row.
            down = np.where(down == raster.height, raster.height - 1, down)
            found = (across >= 0) & (across < raster.width) & (down >= 0) & (down < raster.height)
            new = found & ~inside
            row[new], column[new] = np.floor(down[new]), np.floor(across[new])
            inside |= found
    return row, column, inside
