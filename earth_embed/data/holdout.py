"""Which places a user's own data set holds out: decided by place alone, so all of them agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earth_embed.coordinates import block_of
from earth_embed.data.order import mix64
from earth_embed.errors import DataError

SPLITS = ("train", "validation", "all")

_CELL_DEGREES = 0.25
_HELD_OUT_ONE_IN = 10


def rows_of_split(lonlat: np.ndarray, split: str, path: Path) -> np.ndarray:
    """The rows of one split, in order.

    Whole cells are held out, so that two samples of one place never face each other across the
    split. A hash of the cell alone decides: every data set holds out the same places.

    Args:
        lonlat: (N, 2), degrees.
        split: "validation" holds the rows in one in ten 0.25° cells, "train" the others, and "all"
            both.
        path: The data set, to name it.

    Returns:
        Row numbers.

    Raises:
        DataError: there is no such split, or it has no rows.
    """
    if split not in SPLITS:
        raise DataError(f"split = {split!r}: expected one of {', '.join(SPLITS)}")
    hashed = mix64(block_of(lonlat, _CELL_DEGREES)) % np.uint64(_HELD_OUT_ONE_IN)
    held_out = hashed == 0
    chosen = {"train": ~held_out, "validation": held_out, "all": np.ones_like(held_out)}[split]
    rows = np.flatnonzero(chosen)
    if not rows.size:
        raise DataError(
            f"{path}: none of its {len(lonlat)} rows is in split {split!r}, where one in "
            f"{_HELD_OUT_ONE_IN} cells of {_CELL_DEGREES}° is held out for validation"
        )
    return rows
