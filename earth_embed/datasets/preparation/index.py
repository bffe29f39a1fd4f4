"""What a data set that is made from published files says of itself, and what all of them share."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from earth_embed.cells import CELL_KM, cell_of
from earth_embed.datasets.preparation.pieces import MakeExamples, Piece, Skipped
from earth_embed.errors import ConfigError
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
        keys: What each row's sample is read from: N values that can be pickled.
        lonlat: (N, 2) float32, degrees: what is stored decides cells and splits.
        skipped: Further rows, which have no place or nothing to read, by reason.
    """

    keys: Sequence[Any]
    lonlat: np.ndarray
    skipped: Counter[str] = field(default_factory=Counter)

    def rows(self, members: np.ndarray) -> list[Row]:
        """The rows where the (N,) mask `members` is true, in order."""
        chosen = np.flatnonzero(members).tolist()
        places = self.lonlat[members].tolist()
        return [Row(self.keys[i], *place) for i, place in zip(chosen, places, strict=True)]


MakeFiles: TypeAlias = Callable[[Sequence[Piece], MakeExamples], list[Path]]
"""Makes files that the index is read from, those that are not there yet; returns their paths."""


@dataclass(frozen=True)
class PublishedFiles:
    """A data set and the folder of published files that it is made from. It is sent to workers.

    Attributes:
        NAME: Its name.
        ABOUT: The arguments `description`, `homepage` and `citation` of tfds.core.DatasetInfo.
        ROWS_PER_FILE: Rows of the index in a file, unless the user says otherwise.
        HAS: What a row without an example lacks, for messages.
    """

    NAME: ClassVar[str]
    ABOUT: ClassVar[dict[str, str]]
    ROWS_PER_FILE: ClassVar[int]
    HAS: ClassVar[str] = "a file that can be used"

    source: Path
    """The folder of the published files."""

    def __post_init__(self) -> None:
        """Makes the path absolute: a worker may have another current directory."""
        object.__setattr__(self, "source", Path(self.source).absolute())

    def sample_features(self) -> dict[str, Any]:
        """The TFDS features beside lon and lat."""
        raise NotImplementedError

    def fingerprint(self) -> dict[str, Any]:
        """What decides the examples, as JSON values: other values are another preparation."""
        raise NotImplementedError

    def read_index(self, make: MakeFiles) -> Index:
        """Reads the index.

        Args:
            make: For data sets whose index has to be extracted first.

        Raises:
            DataError: the source cannot be used.
            CoordinateError: a coordinate is out of range.
        """
        raise NotImplementedError

    def sample(self, key: Any) -> dict[str, Any] | Skipped:
        """A row's sample as the values of `sample_features`, or why there is none."""
        raise NotImplementedError

    def features(self) -> tfds.features.FeaturesDict:
        """All TFDS features of an example."""
        import tensorflow_datasets as tfds

        return tfds.features.FeaturesDict(
            {
                "lon": tfds.features.Scalar(np.float32, doc="Longitude in degrees, WGS84."),
                "lat": tfds.features.Scalar(np.float32, doc="Latitude in degrees, WGS84."),
                **self.sample_features(),
            }
        )

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
            # By default protobuf writes a map in an order that changes from process to process.
            yield message.SerializeToString(deterministic=True)


@functools.lru_cache(maxsize=1)
def _serializer(dataset: PublishedFiles) -> tuple[Any, Any]:
    import tensorflow_datasets as tfds

    described = dataset.features()
    serializer = tfds.core.example_serializer.ExampleSerializer(described.get_serialized_info())
    return described, serializer


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
            said |= {"exclude_cells_sha256": sha256(self.exclude_cells)}
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
