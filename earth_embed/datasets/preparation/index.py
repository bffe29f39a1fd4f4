"""What a data set that is made from published files says of itself, and what all of them share."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from earth_embed.data.pieces import Examples, Piece, Skipped

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


MakeFiles: TypeAlias = Callable[[Sequence[Piece], Examples], list[Path]]
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
