"""Who may use which place: small cells of the Earth, each dealt to one data set.

Every data set of this package draws its own places. Their disjointness is not left to chance: a
stable hash deals each cell of an equal-area grid to exactly one role, and a data set uses the
places whose cell has its role. A second hash deals the cells to training and validation.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np

from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.data.order import hash_string, mix64
from earth_embed.errors import DataError, require

ROLES = ("blue_marble", "toponyms", "linke_turbidity", "land_labels")
"""The data sets that share the Earth. Their order is part of the deal: append, never reorder."""

CELL_KM = 25.0
"""Side of a cell."""

VALIDATION_PARTS = 10
"""One cell in so many is for validation."""


def grid_of(km: float) -> tuple[int, int]:
    """Cells in longitude and in sin(latitude), square at the equator.

    A row is 2R / rows high there, and each cell has the area 4πR² / (columns · rows) ≈ km².

    Args:
        km: Side of a cell, km.
    """
    rows = max(1, round(2 * EARTH_RADIUS_KM / km))
    columns = max(1, round(4 * np.pi * EARTH_RADIUS_KM**2 / (km**2 * rows)))
    return columns, rows


def cell_of(lonlat: np.ndarray, km: float = CELL_KM) -> np.ndarray:
    """The equal-area cell that holds each point.

    Args:
        lonlat: (N, 2), degrees.
        km: Side of a cell, km.

    Returns:
        (N,) int64 in [0, rows · columns) of `grid_of(km)`.
    """
    columns, rows = grid_of(km)
    lon, lat = np.asarray(lonlat, np.float64).T
    column = np.floor((lon + 180) / 360 * columns).astype(np.int64) % columns
    row = np.floor((np.sin(np.radians(lat)) + 1) / 2 * rows).astype(np.int64)
    return np.minimum(row, rows - 1) * columns + column


def has_role(role: str, lonlat: np.ndarray) -> np.ndarray:
    """Whether the data set `role` may use each point.

    Args:
        role: One of ROLES.
        lonlat: (N, 2), degrees.

    Returns:
        (N,) bool.

    Raises:
        DataError: no such role.
    """
    if role not in ROLES:
        raise DataError(f"no role {role!r}; expected one of {', '.join(ROLES)}")
    return _hash(cell_of(lonlat), "role") % np.uint64(len(ROLES)) == ROLES.index(role)


def is_validation(lonlat: np.ndarray) -> np.ndarray:
    """Whether each point's cell is kept for validation.

    Args:
        lonlat: (N, 2), degrees.

    Returns:
        (N,) bool, True for one cell in ten.
    """
    return _hash(cell_of(lonlat), "validation") % np.uint64(VALIDATION_PARTS) == 0


def draw_on_land(role: str, count: int, seed: int, south: float = -90.0) -> np.ndarray:
    """Draws points on land, uniform by area, in the cells of one role.

    Candidates are hashes of (seed, role, candidate number), so the points are the same on every
    machine, and fewer points are a prefix of more.

    Args:
        role: One of ROLES.
        count: Points to draw.
        seed: Seed of the draw.
        south: No point lies south of this latitude, degrees.

    Returns:
        (count, 2) float32, degrees. The rounding comes before the tests: what is stored is what
        was found to be on land and in a cell of the role.
    """
    key = _hash(np.array([seed]), role)
    sin_south = np.sin(np.radians(south))
    drawn, found, start, batch = [], 0, 0, 1 << 18
    while found < count:
        number = np.arange(start, start + batch, dtype=np.uint64)
        lon = -180 + 360 * _uniform(number, key, "lon")
        sin_lat = sin_south + (1 - sin_south) * _uniform(number, key, "lat")
        lonlat = np.stack([lon, np.degrees(np.arcsin(sin_lat))], axis=1).astype(np.float32)
        lonlat = lonlat[has_role(role, lonlat)]
        drawn.append(lonlat[on_land(lonlat)])
        found += len(drawn[-1])
        start += batch
    return np.concatenate(drawn)[:count]


def on_land(lonlat: np.ndarray) -> np.ndarray:
    """Whether each point is on land in the 30″ GLOBE mask, as global_land_mask.globe.is_land.

    Lakes count as land.

    Args:
        lonlat: (N, 2), degrees.

    Returns:
        (N,) bool.
    """
    ocean = _ocean_bits()
    height, width = ocean.shape[0], 8 * ocean.shape[1]
    lon, lat = np.asarray(lonlat, np.float64).T
    row = np.minimum((90 - lat) * height / 180, height - 1).astype(np.int64)
    column = np.minimum((lon + 180) * width / 360, width - 1).astype(np.int64)
    bit = (ocean[row, column >> 3] << (column & 7).astype(np.uint8)) & 128
    return bit == 0


@functools.cache
def _ocean_bits() -> np.ndarray:
    """The mask, (21600, 43200 / 8) uint8, a bit for each pixel.

    The package's own module would hold a byte for each, 930 MB, as long as the process lives.
    """
    package = importlib.util.find_spec("global_land_mask")  # which does not import it
    if package is None or package.origin is None:
        raise require("global_land_mask", "worlddata", "telling land from ocean")
    file = Path(package.origin).parent / "globe_combined_mask_compressed.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return np.packbits(arrays["mask"], axis=1)


def _hash(values: np.ndarray, purpose: str) -> np.ndarray:
    return mix64(mix64(values) ^ np.uint64(hash_string(purpose)))


def _uniform(number: np.ndarray, key: np.ndarray, purpose: str) -> np.ndarray:
    """Float64 in [0, 1) from the upper 53 bits of a hash."""
    return (_hash(number ^ key, purpose) >> np.uint64(11)) * 2.0**-53
