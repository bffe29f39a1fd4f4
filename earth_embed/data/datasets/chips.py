"""Data set "s2_100k": Sentinel-2 chips, from the files that S2-100K is published as.

A folder holds index.csv, with columns lon, lat (degrees) and fn, the name of a chip's file; and
images/patch_N.tif, GeoTIFF of 256 × 256 pixels in 12 bands, uint16.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn

import numpy as np
import tensorflow_datasets as tfds

from earth_embed.data.datasets.places import is_validation
from earth_embed.data.geotable import is_text, read_geotable
from earth_embed.data.pieces import Skipped
from earth_embed.errors import DataError, require

PIXELS, BANDS = 256, 12

TINY_BYTES = 10_000
"""Smaller files hold no picture; SatCLIP's own loader leaves out the same ones."""


class Row(NamedTuple):
    """One row of the index."""

    file: str
    lon: float
    lat: float


class S2100k(tfds.core.GeneratorBasedBuilder):
    """Multispectral chips of the land, 2.56 km wide, at 100,000 places."""

    name = "s2_100k"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=features(),
            supervised_keys=None,
            metadata=tfds.core.MetadataDict(),
            description=(
                "Sentinel-2 chips of 256×256 pixels of 10 m in the 12 bands of level 2A (B1 to B12 "
                "without B10): digital numbers, as published, at places drawn on land. Made from "
                "the files of S2-100K, on which SatCLIP was trained."
            ),
            homepage="https://github.com/microsoft/satclip",
            citation=(
                "@article{klemmer2023satclip, title={SatCLIP: Global, General-Purpose Location "
                "Embeddings with Satellite Imagery}, author={Klemmer, Konstantin and Rolf, Esther "
                "and Robinson, Caleb and Mackey, Lester and Ru{\\ss}wurm, Marc}, "
                "journal={arXiv preprint arXiv:2311.17179}, year={2023}}"
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> NoReturn:
        del dl_manager
        # TFDS's own writing starts from nothing after an interruption.
        raise DataError(
            f"the data set {self.name!r} is not prepared in {self._data_dir_root}: "
            f"earth-embed prepare {self.name} --source DIR makes it from published files"
        )

    _generate_examples = _split_generators


def features() -> tfds.features.FeaturesDict:
    """Coordinates, and the chip as raw bytes: TFDS would store plain tensors as int64."""
    return tfds.features.FeaturesDict(
        {
            "lon": tfds.features.Scalar(np.float32, doc="Longitude in degrees, WGS84."),
            "lat": tfds.features.Scalar(np.float32, doc="Latitude in degrees, WGS84."),
            "chip": tfds.features.Tensor(
                shape=(PIXELS, PIXELS, BANDS),
                dtype=np.uint16,
                encoding="bytes",
                doc="Digital numbers, north up, bands last.",
            ),
        }
    )


def read_index(source: Path) -> dict[str, list[Row]]:
    """The rows of an index by split: one cell in ten is for validation, as for every data set.

    Args:
        source: The folder that holds index.csv.

    Returns:
        "train" and "validation", each in the order of the index.

    Raises:
        DataError: there is no index, or it has no file names.
        CoordinateError: a coordinate is missing or out of range, as when lon and lat are swapped.
    """
    path = source / "index.csv"
    if not (source / "images").is_dir():
        raise DataError(f"{source}: expected index.csv and a folder images, found no such folder")
    table, lonlat = read_geotable(path)
    if "fn" not in table.column_names:
        raise DataError(
            f"{path} has no column 'fn' of file names; it has {', '.join(table.column_names)}"
        )
    column = table.column("fn")
    names = column.to_pylist() if is_text(column) else [None]
    if blank := [row for row, name in enumerate(names) if not name]:
        raise DataError(
            f"{path}: column 'fn' must name a file in every row; row {blank[0]} has none"
        )
    lonlat = lonlat.astype(np.float32)  # as stored: what is stored decides the split
    rows = [Row(f, *place) for f, place in zip(names, lonlat.tolist(), strict=True)]
    splits: dict[str, list[Row]] = {"train": [], "validation": []}
    for row, held_out in zip(rows, is_validation(lonlat).tolist(), strict=True):
        splits["validation" if held_out else "train"].append(row)
    return splits


def serialized(source: Path, rows: tuple[Row, ...]) -> Iterator[bytes | Skipped]:
    """Each row's chip and place as a tf.train.Example, or why there is none."""
    features, serializer = _serializer()
    for row in rows:
        chip = read_chip(source / "images" / row.file)
        if isinstance(chip, Skipped):
            yield chip
            continue
        example = {"lon": np.float32(row.lon), "lat": np.float32(row.lat), "chip": chip}
        message = serializer.get_tf_example(features.encode_example(example))
        # By default protobuf writes a map in an order that changes from process to process.
        yield message.SerializeToString(deterministic=True)


def read_chip(path: Path) -> np.ndarray | Skipped:
    """A chip (256, 256, 12) uint16, or why the file holds none."""
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as error:
        raise require("rasterio", "maps", "reading GeoTIFF") from error
    if not path.is_file():
        return Skipped("missing", path.name)
    if path.stat().st_size < TINY_BYTES:
        return Skipped("tiny", path.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the index has the place
            with rasterio.open(path) as file:
                bands = file.read()
    except (OSError, RasterioError):
        return Skipped("broken", path.name)
    if bands.shape != (BANDS, PIXELS, PIXELS) or bands.dtype != np.uint16:
        return Skipped("of another shape or type", path.name)
    return np.ascontiguousarray(bands.transpose(1, 2, 0))


@functools.cache
def _serializer() -> tuple[Any, Any]:
    described = features()
    serializer = tfds.core.example_serializer.ExampleSerializer(described.get_serialized_info())
    return described, serializer
