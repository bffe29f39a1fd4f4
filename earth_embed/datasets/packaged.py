"""Looking up equirectangular rasters of the whole globe: rows 90 … −90, columns −180 … 180.

Pixels are areas: the first pixel's centre lies half a pixel inside the upper left corner.
"""

from __future__ import annotations

import numpy as np


def nearest(raster: np.ndarray, lonlat: np.ndarray) -> np.ndarray:
    """The pixel that holds each point.

    Args:
        raster: (H, W, ...).
        lonlat: (N, 2), degrees.

    Returns:
        (N, ...), as in `raster`.
    """
    height, width = raster.shape[:2]
    row, column = _pixel(lonlat, height, width)
    row = np.clip(np.round(row).astype(np.int64), 0, height - 1)
    return raster[row, np.round(column).astype(np.int64) % width]


def bilinear(raster: np.ndarray, lonlat: np.ndarray) -> np.ndarray:
    """Interpolates between the four nearest pixel centres, around the globe and over the poles.

    Args:
        raster: (H, W, ...), W even.
        lonlat: (N, 2), degrees.

    Returns:
        (N, ...) float32.
    """
    height, width = raster.shape[:2]
    row, column = _pixel(lonlat, height, width)
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    fraction = (-1, *[1] * (raster.ndim - 2))
    down = (row - top).astype(np.float32).reshape(fraction)
    right = (column - left).astype(np.float32).reshape(fraction)

    def pixel(r: np.ndarray, c: np.ndarray) -> np.ndarray:
        # Half a pixel from a pole the next row is the same row on the opposite meridian.
        c = np.where((r < 0) | (r >= height), c + width // 2, c) % width
        return raster[np.clip(r, 0, height - 1), c].astype(np.float32)

    upper = pixel(top, left) * (1 - right) + pixel(top, left + 1) * right
    lower = pixel(top + 1, left) * (1 - right) + pixel(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


def _pixel(lonlat: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Fractional row and column, whole at pixel centres."""
    lon, lat = np.asarray(lonlat, np.float64).T
    return (90 - lat) * height / 180 - 0.5, (lon + 180) * width / 360 - 0.5
