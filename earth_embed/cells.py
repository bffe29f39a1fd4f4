"""Equal-area cells of the Earth, and what a hash of a place's cell decides.

One hash decides whether the cell is held out for validation: in tables, in feature caches and in
TFDS data sets alike, so that no modality trains at the held-out places of another. A second hash
assigns the cell to one of this package's own data sets, so that their places differ.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earth_embed.coordinates import EARTH_RADIUS_KM
from earth_embed.errors import DataError
from earth_embed.hashing import hash_string, mix64

ROLES = ("blue_marble", "toponyms", "linke_turbidity", "land_labels")
"""The data sets that divide the cells among them; any change here gives all of them new places."""

CELL_KM = 25.0
"""Side of a cell."""

HELD_OUT_ONE_IN = 10
"""One in this many cells is held out."""

HOLDOUT = f"1 in {HELD_OUT_ONE_IN} equal-area cells of {CELL_KM:g} km"
"""The rule as runs and feature caches record it. Earlier versions held out 0.25° blocks."""

SPLITS = ("train", "validation", "all")


def grid_of(km: float) -> tuple[int, int]:
    """Columns in longitude and rows in sin(latitude) of cells of side `km`, square at the equator.

    A row is 2R / rows high at the equator, and each cell has area 4πR² / (columns · rows) ≈ km².
    """
    rows = max(1, round(2 * EARTH_RADIUS_KM / km))
    columns = max(1, round(4 * np.pi * EARTH_RADIUS_KM**2 / (km**2 * rows)))
    return columns, rows


def cell_of(lonlat: np.ndarray, km: float = CELL_KM) -> np.ndarray:
    """The equal-area cell, of side `km`, that holds each point (N, 2), degrees.

    Returns:
        (N,) int64 in [0, rows · columns) of `grid_of(km)`.
    """
    columns, rows = grid_of(km)
    lon, lat = np.asarray(lonlat, np.float64).T
    column = np.floor((lon + 180) / 360 * columns).astype(np.int64) % columns
    row = np.floor((np.sin(np.radians(lat)) + 1) / 2 * rows).astype(np.int64)
    return np.minimum(row, rows - 1) * columns + column


def has_role(role: str, lonlat: np.ndarray) -> np.ndarray:
    """Whether the data set `role`, one of ROLES, may use each point (N, 2), degrees: (N,) bool.

    Raises:
        DataError: no such role.
    """
    if role not in ROLES:
        raise DataError(f"no role {role!r}; expected one of {', '.join(ROLES)}")
    return hash_cells(cell_of(lonlat), "role") % np.uint64(len(ROLES)) == ROLES.index(role)


def is_held_out(lonlat: np.ndarray) -> np.ndarray:
    """Whether each point (N, 2), degrees, lies in one of the held-out cells: (N,) bool.

    Every data set uses this rule. Coordinates are rounded to float32 first, as TFDS data sets and
    feature caches store them: at the edge of a cell, a table's float64 place could otherwise fall
    on the other side.
    """
    cells = cell_of(np.asarray(lonlat, np.float32))
    return hash_cells(cells, "validation") % np.uint64(HELD_OUT_ONE_IN) == 0


def rows_of_split(lonlat: np.ndarray, split: str, path: Path) -> np.ndarray:
    """The rows of one split of a table or feature cache, in order.

    Whole cells are held out, so samples of one place are all on one side.

    Args:
        lonlat: (N, 2), degrees.
        split: "validation" for the held-out rows, "train" for the others, "all" for both.
        path: The data set, for messages.

    Returns:
        Row numbers.

    Raises:
        DataError: there is no such split, or it has no rows.
    """
    if split not in SPLITS:
        raise DataError(f"split = {split!r}: expected one of {', '.join(SPLITS)}")
    held_out = is_held_out(lonlat)
    chosen = {"train": ~held_out, "validation": held_out, "all": np.ones_like(held_out)}[split]
    rows = np.flatnonzero(chosen)
    if not rows.size:
        raise DataError(
            f"{path}: none of its {len(lonlat)} rows is in split {split!r}, where one in "
            f"{HELD_OUT_ONE_IN} cells of {CELL_KM:g} km is held out for validation"
        )
    return rows


def hash_cells(values: np.ndarray, purpose: str) -> np.ndarray:
    """Hashes cells (or seeds) to uniform uint64, independently for each purpose."""
    return mix64(mix64(values) ^ np.uint64(hash_string(purpose)))
