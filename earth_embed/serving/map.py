"""A world map of embeddings: three principal components as red, green and blue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earth_embed.coordinates import equal_area
from earth_embed.datasets.packaged import on_land
from earth_embed.errors import DataError, require
from earth_embed.files import atomic_output, check_suffix
from earth_embed.pretrained.encoder import LocationEncoder
from earth_embed.progress import bar, phase

MAP_SUFFIXES = (".png", ".tif", ".tiff")
"""File name suffixes of maps."""

MIN_RESOLUTION = 0.005
"""Degrees per pixel of the largest map, of 7.8 GB in memory."""

_SAMPLE, _BATCH = 20_000, 65_536

_OCEAN, _COAST = (233, 237, 241), (20, 24, 28)

# The full range 0 … 255 is glaring and hides the coastlines; 0 stands for "no data".
_DARKEST, _BRIGHTEST = 40, 240


def embedding_map(
    encoder: LocationEncoder,
    output: Path,
    *,
    resolution: float = 0.5,
    coastlines: bool = True,
    land_only: bool = False,
) -> None:
    """Writes a world map of embeddings as PNG or GeoTIFF, in plate carrée.

    The principal components come from an equal-area sample of the globe, and each colour channel
    spans the 2nd to 98th percentile of one component. The pixel centres are then embedded strip by
    strip, so that memory does not grow with D.

    Args:
        encoder: The location encoder, of dimension D ≥ 3.
        output: The file to write: an image (.png), or three uint8 bands (.tif, .tiff) in
            EPSG:4326, where 0 stands for no data.
        resolution: Degrees per pixel, a divisor of 180, from `MIN_RESOLUTION`.
        coastlines: Whether to draw coastlines; ignored for GeoTIFF, which is data.
        land_only: Whether to fit the components on land only and leave the ocean blank.

    Raises:
        DataError: the suffix or resolution is not allowed, or D < 3.
        EarthEmbedError: the output cannot be written, or a package is missing.
    """
    output = Path(output)
    suffix = check_suffix(output, MAP_SUFFIXES, "a map")
    picture = suffix == ".png"
    if 0 < resolution < MIN_RESOLUTION:
        most, found = (_bytes(each) / 1e9 for each in (MIN_RESOLUTION, resolution))
        raise DataError(
            f"resolution = {resolution}°: expected at least {MIN_RESOLUTION}°, a map of "
            f"{most:,.1f} GB in memory, found one of {found:,.1f} GB"
        )
    height = round(180 / resolution) if resolution > 0 else 0
    if height < 1 or not np.isclose(height * resolution, 180):
        raise DataError(f"resolution = {resolution}°: expected a divisor of 180°, such as 0.5")
    if encoder.dim < 3:
        raise DataError(f"a map in three colours needs D ≥ 3; the encoder's D is {encoder.dim}")
    with atomic_output(output) as temporary:
        if picture:
            image = _paint(encoder, height, land_only, blank=_OCEAN, coastlines=coastlines)
            _write_png(temporary, image)
        else:
            image = _paint(encoder, height, land_only, blank=(0, 0, 0), coastlines=False)
            _write_geotiff(temporary, image)


def _bytes(resolution: float) -> float:
    """Memory of the map's pixels."""
    return 3 * (180 / resolution) * (360 / resolution)


@dataclass(frozen=True)
class _Colours:
    """An affine map from embeddings e to colours: A (e − μ), scaled from [low, high] to [40, 240].

    Attributes:
        mean: μ, (D,).
        axes: A, (3, D), the leading principal components, orthonormal.
        low: (3,), drawn darkest.
        high: (3,), drawn brightest.
    """

    mean: np.ndarray
    axes: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def fit(cls, embeddings: np.ndarray) -> _Colours:
        """Fits (N, D) embeddings of an equal-area sample."""
        mean = embeddings.mean(axis=0, dtype=np.float64)
        centred = embeddings - mean
        _, vectors = np.linalg.eigh(centred.T @ centred)  # eigenvalues ascend
        axes = vectors[:, :-4:-1].T
        # The sign of an eigenvector is arbitrary: make its largest entry positive.
        largest = np.abs(axes).argmax(axis=1)
        axes = axes * np.sign(axes[np.arange(3), largest])[:, None]
        low, high = np.percentile(centred @ axes.T, (2, 98), axis=0)
        # Keep a component that hardly varies flat, rather than fill the channel with noise.
        return cls(mean, axes, low, np.maximum(high, low + 1e-3 * max((high - low).max(), 1e-12)))

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        """Colours (N, 3) uint8 of embeddings (N, D)."""
        scaled = ((embeddings - self.mean) @ self.axes.T - self.low) / (self.high - self.low)
        colours = _DARKEST + (_BRIGHTEST - _DARKEST) * np.clip(scaled, 0, 1)
        return colours.round().astype(np.uint8)


def _paint(
    encoder: LocationEncoder,
    height: int,
    land_only: bool,
    *,
    blank: tuple[int, int, int],
    coastlines: bool,
) -> np.ndarray:
    """Draws the map, (H, 2H, 3) uint8, north up, starting at 180° W."""
    sample = equal_area(_SAMPLE)
    if land_only:
        sample = sample[on_land(sample)]
    with phase("choosing the colours"):
        colours = _Colours.fit(encoder(sample))
    image = np.empty((height, 2 * height, 3), np.uint8)
    strip = max(1, _BATCH // (2 * height))
    for top in bar(range(0, height, strip), desc="map", unit=" strips"):
        rows = np.arange(top, min(top + strip, height))
        pixels = image[rows[0] : rows[-1] + 1].reshape(-1, 3)  # a view
        lonlat = _pixel_centres(rows, height)
        if land_only:
            land = on_land(lonlat)
            pixels[~land] = blank
            if land.any():
                pixels[land] = colours(encoder(lonlat[land]))
        else:
            pixels[:] = colours(encoder(lonlat))
        if coastlines:
            ink = _coast(rows, height)[:, None]
            pixels[:] = (pixels * (1 - ink) + np.array(_COAST) * ink).round()
    return image


def _pixel_centres(rows: np.ndarray, height: int) -> np.ndarray:
    """Centres of the pixels in whole rows, west to east: (len(rows) · 2H, 2), degrees."""
    step = 180 / height
    lon, lat = np.meshgrid(-180 + (np.arange(2 * height) + 0.5) * step, 90 - (rows + 0.5) * step)
    return np.stack([lon.ravel(), lat.ravel()], axis=1)


def _coast(rows: np.ndarray, height: int, finer: int = 4) -> np.ndarray:
    """Opacity of the coastline in each pixel, (len(rows) · 2H,) in [0, 1].

    4 f (1 − f) for a share f of land in the pixel, softened: a line one pixel wide.
    """
    fine = (rows[:, None] * finer + np.arange(finer)).ravel()
    land = on_land(_pixel_centres(fine, height * finer))
    share = land.reshape(len(rows), finer, 2 * height, finer).mean(axis=(1, 3)).ravel()
    return 0.8 * 4 * share * (1 - share)


def _write_png(path: Path, image: np.ndarray) -> None:
    try:
        from PIL import Image
    except ImportError as error:
        raise require("pillow", "maps", "writing a PNG map") from error
    Image.fromarray(image).save(path, format="PNG")


def _write_geotiff(path: Path, image: np.ndarray) -> None:
    try:
        import rasterio
    except ImportError as error:
        raise require("rasterio", "maps", "writing a GeoTIFF map") from error
    height, width, bands = image.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": bands,
        "dtype": "uint8",
        "crs": "EPSG:4326",
        "transform": rasterio.Affine(360 / width, 0, -180, 0, -180 / height, 90),
        "nodata": 0,
        "photometric": "RGB",
        "compress": "deflate",
        "tiled": True,
    }
    # Written by Python: GDAL may report a full disk only as a warning when it closes the file.
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(np.moveaxis(image, -1, 0))
        path.write_bytes(memory.read())
