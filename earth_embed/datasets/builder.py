"""The base class of the data sets from packaged files: sizes, coordinates, splits, metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from earth_embed.cells import is_held_out

SEED = 0
"""Seed of every draw. Changing it makes another version of the data sets."""

Columns = dict[str, Any]
"""A sequence of N values per feature, including "lon" and "lat" (degrees)."""


def with_coordinates(sample_features: dict[str, Any]) -> tfds.features.FeaturesDict:
    """The TFDS features of an example: lon, lat and those of its sample."""
    lon = tfds.features.Scalar(np.float32, doc="Longitude in degrees, WGS84.")
    lat = tfds.features.Scalar(np.float32, doc="Latitude in degrees, WGS84.")
    return tfds.features.FeaturesDict({"lon": lon, "lat": lat, **sample_features})


class PlacesBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A TFDS builder of samples at places; subclasses define the features and make the samples.

    Attributes:
        COUNTS: Number of examples to draw, by configuration ("land_labels" drops a few).
        ABOUT: Arguments `description`, `homepage` and `citation` of tfds.core.DatasetInfo.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name="full", description="For training and evaluation."),
        tfds.core.BuilderConfig(name="tiny", description="The first 1,500 places, for tests."),
    ]
    COUNTS: ClassVar[dict[str, int]]
    ABOUT: ClassVar[dict[str, str]]

    def sample_features(self) -> dict[str, Any]:
        """The TFDS features other than lon and lat."""
        raise NotImplementedError

    def make(self, count: int) -> Columns:
        """Makes about `count` examples, as columns."""
        raise NotImplementedError

    def splits_of(self, lonlat: np.ndarray) -> dict[str, np.ndarray]:
        """For each split, a mask of the (N, 2) places that belong to it."""
        held_out = is_held_out(lonlat)
        return {"train": ~held_out, "validation": held_out}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=with_coordinates(self.sample_features()),
            supervised_keys=None,
            **self.ABOUT,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # nothing is downloaded
        columns = self.make(self.COUNTS[self.builder_config.name])
        members = self.splits_of(np.stack([columns["lon"], columns["lat"]], axis=1))
        return {
            split: self._generate_examples(columns, np.flatnonzero(chosen))
            for split, chosen in members.items()
        }

    def _generate_examples(
        self, columns: Columns, rows: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row in rows.tolist():
            yield row, {name: values[row] for name, values in columns.items()}
