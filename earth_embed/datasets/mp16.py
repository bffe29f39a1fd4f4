"""Data set "mp16": geotagged photographs, from the list and the files of MP-16.

The source folder holds one CSV file of any name, the published list with columns IMG_ID, LAT and
LON (degrees); and the photographs as images/IMG_ID, JPEG, where IMG_ID may contain folders.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from earth_embed.datasets.preparation.index import Index, MakeFiles, PublishedFiles, files_below
from earth_embed.datasets.preparation.pieces import Skipped
from earth_embed.errors import ConfigError, DataError
from earth_embed.files import sha256
from earth_embed.geotable import read_geotable
from earth_embed.images import open_image
from earth_embed.tablefiles import file_names

if TYPE_CHECKING:
    from PIL import Image

TINY_BYTES, TINY_PIXELS = 500, 32
"""Smaller files, and pictures with a shorter side than this, are skipped as useless."""

QUALITY = 90
"""JPEG quality. The source is JPEG already; a lower quality would add visible artefacts."""


@dataclass(frozen=True)
class Mp16(PublishedFiles):
    """Photographs of one size, cut square from the middle, at the places where they were taken."""

    NAME: ClassVar = "mp16"
    ROWS_PER_FILE: ClassVar = 4096
    ABOUT: ClassVar = {
        "description": (
            "Photographs of MP-16 (MediaEval Placing Task 2016), the part of YFCC100M with places "
            "on which GeoCLIP was trained: scaled to one shorter side and cut square from the "
            "middle, as JPEG. Each photograph has a Creative Commons licence of its own."
        ),
        "homepage": "https://github.com/TIBHannover/GeoEstimation",
        "citation": (
            "@article{larson2017benchmarking, title={The benchmarking initiative for multimedia "
            "evaluation: MediaEval 2016}, author={Larson, Martha and Soleymani, Mohammad and "
            "Gravier, Guillaume and Ionescu, Bogdan and Jones, Gareth J. F.}, "
            "journal={IEEE MultiMedia}, volume={24}, number={1}, pages={93--96}, year={2017}}"
        ),
    }

    image_size: int = 256
    """Side of the stored pictures, pixels."""

    def __post_init__(self) -> None:
        """Checks the size."""
        super().__post_init__()
        if not 8 <= self.image_size <= 4096:
            raise ConfigError(f"image_size = {self.image_size}: expected 8 … 4096 pixels")

    def sample_features(self) -> dict[str, Any]:
        """One JPEG image; all have one size, as a batch needs."""
        import tensorflow_datasets as tfds

        shape = (self.image_size, self.image_size, 3)
        return {"image": tfds.features.Image(shape=shape, encoding_format="jpeg")}

    def fingerprint(self) -> dict[str, Any]:
        """The list and the picture size; photographs added later go unnoticed."""
        return {"index_sha256": sha256(self._list()), "image_size": self.image_size}

    def read_index(self, make: MakeFiles) -> Index:
        """The rows of the list that have a place."""
        del make
        path = self._list()
        if not (self.source / "images").is_dir():
            raise DataError(
                f"{self.source}: expected a CSV file and a folder images, found no such folder"
            )
        table, lonlat = read_geotable(path, may_lack_places=True)
        names = files_below(self.source / "images", file_names(table, path, "IMG_ID"), path)
        placed = ~np.isnan(lonlat).any(axis=1)
        skipped = Counter({"without a place": int((~placed).sum())})
        keys = [names[row] for row in np.flatnonzero(placed).tolist()]
        return Index(keys, lonlat[placed].astype(np.float32), +skipped)  # + drops a zero

    def sample(self, key: str) -> dict[str, Any] | Skipped:
        """Reads a photograph by its file's name."""
        picture = read_photograph(self.source / "images" / key, key, self.image_size)
        return picture if isinstance(picture, Skipped) else {"image": io.BytesIO(picture)}

    def _list(self) -> Path:
        found = sorted(self.source.glob("*.csv"))
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataError(f"{self.source}: expected one CSV file, the list; found {names}")
        return found[0]


def read_photograph(path: Path, name: str, size: int) -> bytes | Skipped:
    """A photograph as an RGB JPEG of size × size pixels, or why `name` has none."""
    if not path.is_file():
        return Skipped("missing", name)
    if path.stat().st_size < TINY_BYTES:
        return Skipped("tiny", name)
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # about incomplete EXIF data
            open_image(path, name, "tables", ("JPEG",)) as image,
        ):
            if min(image.size) < TINY_PIXELS:
                return Skipped("tiny", name)
            # The decoder downscales large pictures by powers of two, which saves most of the time.
            image.draft("RGB", (size, size))
            return _square(image, size)
    except DataError:
        return Skipped("broken", name)


def _square(image: Image.Image, size: int) -> bytes:
    """The middle of an upright photograph as a JPEG of size × size pixels."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image).convert("RGB")
    square = ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC)
    stored = io.BytesIO()
    square.save(stored, "JPEG", quality=QUALITY)
    return stored.getvalue()
