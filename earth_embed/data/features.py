"""Feature caches, which `earth-embed features` writes: their format and random access to them.

A folder holds

    features.json             written last: settings, hold-out rule, size and SHA-256 of each shard
    places.npy                (N, 2) float32: lon, lat of the plain view, degrees
    00000.array_record, …     one record per row: (K, 2 + D) float32, little-endian

where each of the K views is lon, lat and D features. The first view is the plain one.

Opening compares the sizes of the shards and the SHA-256 of places.npy. array_record keeps a hash of
every block, which each read compares, and each read compares the places of its rows. The SHA-256 of
whole shards is compared by `earth-embed features`, called again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from earth_embed.cells import HOLDOUT, rows_of_split
from earth_embed.coordinates import check_lonlat
from earth_embed.data.sources import Examples, Source, Views, open_npy
from earth_embed.errors import DataError, require
from earth_embed.files import Stamp, read_json, sha256

FEATURES_FILE, PLACES_FILE, FIELD = "features.json", "places.npy", "features"


class Shape(NamedTuple):
    """Numbers of rows, views K and features D of a folder."""

    rows: int
    views: int
    dim: int


def shard_file(number: int) -> str:
    """The name of a shard."""
    return f"{number:05d}.array_record"


def encode_rows(lonlat: np.ndarray, features: np.ndarray) -> list[bytes]:
    """The records of some rows: lonlat (B, K, 2) and features (B, K, D)."""
    rows = np.concatenate([lonlat, features], axis=2).astype("<f4")
    return [row.tobytes() for row in rows]


def open_features(path: Path, field: str, split: str) -> Source:
    """Opens a folder of features as one modality.

    Args:
        path: Its features.json.
        field: "features", the only field.
        split: "train", "validation" or "all"; see `rows_of_split`. The plain view's places decide.

    Returns:
        A source of float32 (B, D) features, read when gathered; `Views` if K > 1.

    Raises:
        DataError: the folder is unfinished, differs from its features.json or was made under
            another hold-out rule; or there is no such field or split.
        EarthEmbedError: array_record is missing.
    """
    if field != FIELD:
        raise DataError(f"{path} has no field {field!r}: expected {FIELD!r}")
    record = read_features_file(path)
    if (rule := record.get("holdout")) != HOLDOUT:
        raise DataError(
            f"{path} was made when other places were held out ({rule or 'no rule'} is recorded, "
            f"expected {HOLDOUT!r}): the same `earth-embed features` command brings it up to "
            "date, and encodes nothing again"
        )
    shape, shards = read_shards(path, record)
    check_shards(path.parent, shards)
    records = Records(path.parent, list(shards), shape)
    places = _read_places(path.with_name(PLACES_FILE), shape.rows, record.get("places_sha256"))
    rows = rows_of_split(places, split, path)
    views = tuple(CachedView(records, rows, places, view) for view in range(shape.views))
    return views[0] if len(views) == 1 else Views(views)


def read_features_file(path: Path) -> dict[str, Any]:
    """Reads a features.json.

    Raises:
        DataError: it is unreadable, or missing because the folder is unfinished.
    """
    try:
        record = read_json(path)
    except FileNotFoundError as error:
        raise DataError(
            f"no {path}: `earth-embed features` writes it last; the same command finishes "
            f"{path.parent}"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path} is no record of features: found {type(record).__name__}")
    return record


def read_shards(path: Path, record: Mapping[str, Any]) -> tuple[Shape, dict[str, Stamp]]:
    """The shape that a features.json names, and its shards and their stamps, in order.

    Raises:
        DataError: they are missing, or a shard is named twice.
    """
    try:
        shape = Shape(*(record[name] for name in Shape._fields))
        shards = {s["file"]: Stamp.from_json(s, "bytes") for s in record["shards"]}
        if {type(number) for number in shape} != {int} or min(shape) < 1:
            raise ValueError
        if not shards or len(shards) < len(record["shards"]):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is no record of features: expected rows, views, dim and shards"
        ) from error
    return shape, shards


class Records:
    """Random access to the records of a folder."""

    def __init__(self, folder: Path, shards: Sequence[str], shape: Shape) -> None:
        """Opens the shards, in order.

        Raises:
            DataError: a shard cannot be read, or the shards hold another number of rows.
            EarthEmbedError: array_record is missing.
        """
        try:
            from array_record.python.array_record_data_source import ArrayRecordDataSource
        except ImportError as error:
            raise require("array_record", "data", "reading cached features") from error
        self.folder, self._shape = folder, shape
        try:
            self._records = ArrayRecordDataSource([str(folder / shard) for shard in shards])
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError(f"{folder} cannot be read: {error}") from error
        if len(self._records) != shape.rows:
            raise DataError(
                f"{folder}: expected {shape.rows} rows, found {len(self._records)} in its shards"
            )
        self.read(np.zeros(1, np.int64), 0)  # raises if the records are of another size

    def read(self, rows: np.ndarray, view: int, places: np.ndarray | None = None) -> np.ndarray:
        """One view of some rows, (B, 2 + D) float32: lon, lat, features.

        Args:
            rows: (B,) numbers of the rows.
            view: Index of the view.
            places: (B, 2) degrees: the places that the rows' plain views must have. Others mean
                that shards were exchanged, and held-out samples would be trained on.

        Raises:
            DataError: a record is damaged, or another place's.
        """
        try:
            records = self._records.__getitems__(rows.tolist())
        except RuntimeError as error:  # from riegeli, whose blocks have checksums
            raise DataError(f"{self.folder} cannot be read: {error}") from error
        _, views, dim = self._shape
        size = 4 * views * (2 + dim)
        for row, record in zip(rows, records, strict=True):
            if len(record) != size:
                raise DataError(
                    f"{self.folder}: expected {size:,} bytes in row {row}, found {len(record):,}"
                )
        plain = np.frombuffer(b"".join(record[:8] for record in records), "<f4").reshape(-1, 2)
        if places is not None and (strange := (plain != places).any(axis=1)).any():
            first = int(np.argmax(strange))
            raise DataError(
                f"{self.folder}: expected row {rows[first]} at {places[first].tolist()}, found "
                f"{plain[first].tolist()}"
            )
        start = view * 4 * (2 + dim)
        found = np.empty((len(rows), 2 + dim), "<f4")
        for i, record in enumerate(records):
            found[i] = np.frombuffer(record, "<f4", 2 + dim, start)
        return found.astype(np.float32, copy=False)


@dataclass(frozen=True)
class CachedView:
    """One view of some rows of a folder of features.

    Attributes:
        records: The folder's records.
        rows: (N,) the folder's row of each example.
        places: (…, 2) degrees, the plain places of all rows of the folder.
        view: Index of the view.
    """

    records: Records
    rows: np.ndarray
    places: np.ndarray
    view: int

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, indices: np.ndarray) -> Examples:
        """Reads examples by index; raises as `Records.read`."""
        rows = self.rows[indices]
        found = self.records.read(rows, self.view, self.places[rows])
        return {"sample": found[:, 2:], "lonlat": found[:, :2]}


def check_shards(folder: Path, shards: Mapping[str, Stamp], contents: bool = False) -> None:
    """Raises a DataError that names every shard of another size, or with other contents."""
    files = {folder / name: stamp for name, stamp in shards.items()}
    damage = {file: stamp.damage(file, contents) for file, stamp in files.items()}
    if wrong := [f"{file}: {what}" for file, what in damage.items() if what]:
        raise DataError("; ".join(wrong))


def _read_places(path: Path, rows: int, recorded: str | None) -> np.ndarray:
    """(N, 2), degrees."""
    if (found := sha256(path)) != recorded:
        raise DataError(f"{path}: expected SHA-256 {recorded}, found {found}")
    places = open_npy(path)
    if places.shape != (rows, 2):
        raise DataError(f"{path} holds places of shape {places.shape}; expected ({rows}, 2)")
    return check_lonlat(places)
