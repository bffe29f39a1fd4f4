"""Which rows of an index become examples: whole cells left out, and no more than so many of each.

Photographs and articles crowd where people do. Equal-area cells with a cap bring what a model sees
nearer to uniform by area; cells that an evaluation scores can be kept unseen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earth_embed.data.datasets.places import CELL_KM, cell_of
from earth_embed.data.geotable import read_geotable
from earth_embed.data.order import mix64
from earth_embed.data.pieces import checksum
from earth_embed.data.published import Index
from earth_embed.errors import ConfigError


@dataclass(frozen=True)
class Thinning:
    """Which rows are used, by the cells that they lie in; without options all of them."""

    cap: int | None = None
    """Rows used of each cell, drawn at random (default: all)."""
    exclude_cells: Path | None = None
    """CSV or Parquet table of places (lon, lat); rows in the cells of these places are left out."""
    cell_km: float = CELL_KM
    """Side of the equal-area cells, km."""
    seed: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.cap is not None and self.cap < 1:
            raise ConfigError(f"cap = {self.cap}: expected 1 or more")
        if not 0.1 <= self.cell_km <= 5000:
            raise ConfigError(f"cell_km = {self.cell_km}: expected 0.1 … 5000 km")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed = {self.seed}: expected 0 … 2³¹ − 1")

    def fingerprint(self) -> dict[str, Any]:
        """What decides the rows, as JSON values; empty where all are used."""
        said: dict[str, Any] = {}
        if self.cap is not None:
            said |= {"cap": self.cap, "seed": self.seed}
        if self.exclude_cells is not None:
            said |= {"exclude_cells_sha256": checksum(self.exclude_cells)}
        return said | {"cell_km": self.cell_km} if said else {}

    def thin(self, index: Index) -> Index:
        """The rows that are used; the others are counted as skipped.

        A hash of the seed and a row's number decides the draw, so that it is the same in every
        process, and rows of a smaller cap are among those of a larger one.

        Args:
            index: All rows.

        Raises:
            DataError: the table of excluded places cannot be read.
            CoordinateError: a place in it is missing or out of range.
        """
        if not self.fingerprint():
            return index
        cell = cell_of(index.lonlat, self.cell_km)
        excluded = np.zeros(len(cell), bool)
        if self.exclude_cells is not None:
            _, places = read_geotable(self.exclude_cells)
            # Rounded as the index is: equal places must not part at the edge of a cell.
            excluded = np.isin(cell, cell_of(places.astype(np.float32), self.cell_km))
        rows = np.flatnonzero(~excluded)
        if self.cap is not None:
            rows = rows[self._rank(rows, cell[rows]) < self.cap]
        skipped = Counter(
            {
                "in an excluded cell": int(excluded.sum()),
                "over the cap of a cell": int((~excluded).sum() - len(rows)),
            }
        )
        keys = [index.keys[row] for row in rows.tolist()]
        return Index(keys, index.lonlat[rows], index.skipped + skipped)  # + drops zeros

    def _rank(self, rows: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Each row's number, from 0, in the random order of its cell."""
        key = mix64(np.array([self.seed]))
        order = np.lexsort((mix64(rows.astype(np.uint64) ^ key), cell))
        first = np.searchsorted(cell[order], cell[order])  # where each row's cell begins
        rank = np.empty(len(rows), np.int64)
        rank[order] = np.arange(len(rows)) - first
        return rank
