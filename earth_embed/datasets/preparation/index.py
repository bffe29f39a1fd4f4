"""The base class of data sets made from published files, their index, and its thinning by cells."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from earth_embed.cells import CELL_KM, cell_of
from earth_embed.datasets.preparation.pieces import MakeExamples, Piece, Skipped
from earth_embed.errors import ConfigError, DataError
from earth_embed.files import sha256
from earth_embed.geotable import read_geotable
from earth_embed.hashing import mix64

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


class Row(NamedTuple):
    """One row of an index: what to read, and its place in degrees."""

    key: Any
    lon: float
    lat: float


@dataclass(frozen=True)
class Index:
    """The rows that may become examples.

    Attributes:
        keys: For each of N rows, a picklable value that says where its sample is.
        lonlat: (N, 2) float32, degrees, rounded as stored, since cells and splits depend on it.
        skipped: Number of further rows, which have no place or no sample, by reason.
    """

    keys: Sequence[Any]
    lonlat: np.ndarray
    skipped: Counter[str] = field(default_factory=Counter)

    def rows(self, members: np.ndarray) -> list[Row]:
        """The rows where the (N,) mask `members` is true, in order."""
        chosen = np.flatnonzero(members).tolist()
        places = self.lonlat[members].tolist()
        return [Row(self.keys[i], *place) for i, place in zip(chosen, places, strict=True)]


def files_below(folder: Path, names: list[str], index: Path) -> list[str]:
    """The names, if all are of files below a folder: an index from elsewhere names no others.

    Raises:
        DataError: a name is absolute or climbs out by "..".
    """
    for row, name in enumerate(names):
        path = PurePath(name)
        if path.is_absolute() or path.drive or ".." in path.parts:
            raise DataError(f"{index}: row {row} names {name!r}; expected a file below {folder}")
    return names


MakeFiles: TypeAlias = Callable[[Sequence[Piece], MakeExamples], list[Path]]
"""Makes the missing ones of the files from which the index is read; returns the paths of all."""


@dataclass(frozen=True)
class PublishedFiles:
    """A data set, and the folder of published files that it is made from. It is sent to workers.

    Attributes:
        NAME: Its name.
        ABOUT: Arguments `description`, `homepage` and `citation` of tfds.core.DatasetInfo.
        ROWS_PER_FILE: Default number of index rows per file.
        HAS: What a row without an example lacks, for messages.
    """

    NAME: ClassVar[str]
    ABOUT: ClassVar[dict[str, str]]
    ROWS_PER_FILE: ClassVar[int]
    HAS: ClassVar[str] = "a file that can be used"

    source: Path
    """The folder of the published files."""

    def __post_init__(self) -> None:
        """Makes the path absolute, since workers may have another current directory."""
        object.__setattr__(self, "source", Path(self.source).absolute())

    def sample_features(self) -> dict[str, Any]:
        """The TFDS features other than lon and lat."""
        raise NotImplementedError

    def fingerprint(self) -> dict[str, Any]:
        """JSON values that decide the examples. If one changes, the preparation is another."""
        raise NotImplementedError

    def read_index(self, make: MakeFiles) -> Index:
        """Reads the index; `make` is for data sets whose index must be extracted first.

        Raises:
            DataError: the source cannot be used.
            CoordinateError: a coordinate is out of range.
        """
        raise NotImplementedError

    def sample(self, key: Any) -> dict[str, Any] | Skipped:
        """A row's sample, as values of `sample_features`, or why there is none."""
        raise NotImplementedError

    def features(self) -> tfds.features.FeaturesDict:
        """All TFDS features of an example."""
        from earth_embed.datasets.builder import with_coordinates  # imports TFDS

        return with_coordinates(self.sample_features())

    def examples(self, rows: tuple[Row, ...]) -> Iterator[bytes | Skipped]:
        """Each row's place and sample as a tf.train.Example, or why there is none."""
        features, serializer = _serializer(self)
        for row in rows:
            sample = self.sample(row.key)
            if isinstance(sample, Skipped):
                yield sample
                continue
            example = {"lon": np.float32(row.lon), "lat": np.float32(row.lat), **sample}
            message = serializer.get_tf_example(features.encode_example(example))
            # By default, protobuf's order of map entries differs between processes.
            yield message.SerializeToString(deterministic=True)


@functools.lru_cache(maxsize=1)
def _serializer(dataset: PublishedFiles) -> tuple[Any, Any]:
    import tensorflow_datasets as tfds

    described = dataset.features()
    serializer = tfds.core.example_serializer.ExampleSerializer(described.get_serialized_info())
    return described, serializer


@dataclass(frozen=True)
class Thinning:
    """Which rows are used, depending on their cells; by default all."""

    cap: int | None = None
    """Maximum number of rows used per cell, drawn at random (default: all)."""
    exclude_cells: Path | None = None
    """Table of places (lon, lat); rows in the cells of these places are left out."""
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
        """JSON values that decide the rows; empty if all are used."""
        values: dict[str, Any] = {}
        if self.cap is not None:
            values |= {"cap": self.cap, "seed": self.seed}
        if self.exclude_cells is not None:
            values |= {"exclude_cells_sha256": sha256(self.exclude_cells)}
        return values | {"cell_km": self.cell_km} if values else {}

    def thin(self, index: Index) -> Index:
        """The rows that are used; the others are counted as skipped.

        A hash of the seed and the row's number decides the draw, so it is the same in every
        process, and the rows of a smaller cap are among those of a larger one.

        Raises:
            DataError: the table of excluded places cannot be read.
            CoordinateError: a place in it is missing or out of range.
        """
        if not self.fingerprint():
            return index
        cell = cell_of(index.lonlat, self.cell_km)
        excluded = np.zeros(len(cell), bool)
        if self.exclude_cells is not None:
            _, places = read_geotable(self.exclude_cells, ())
            # Rounded like the index: at the edge of a cell, equal places must not be separated.
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
        """Each row's position, from 0, in the random order of its cell."""
        key = mix64(np.array([self.seed]))
        order = np.lexsort((mix64(rows.astype(np.uint64) ^ key), cell))
        first = np.searchsorted(cell[order], cell[order])  # where each row's cell begins
        rank = np.empty(len(rows), np.int64)
        rank[order] = np.arange(len(rows)) - first
        return rank
