"""Data set "s2_100k": Sentinel-2 chips, from the published files of S2-100K.

The source folder holds index.csv, with columns lon, lat (degrees) and fn (a chip's file name); and
images/patch_N.tif, GeoTIFF of 256 × 256 pixels in 12 bands, uint16.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from earth_embed.datasets.preparation.index import Index, MakeFiles, PublishedFiles, files_below
from earth_embed.datasets.preparation.pieces import Skipped
from earth_embed.errors import DataError, require
from earth_embed.files import sha256
from earth_embed.geotable import read_geotable
from earth_embed.images import MAX_PIXELS
from earth_embed.tablefiles import file_names

PIXELS, BANDS = 256, 12

TINY_BYTES = 10_000
"""Smaller files hold no picture. SatCLIP's own loader skips them too."""


@dataclass(frozen=True)
class S2100k(PublishedFiles):
    """Multispectral chips of the land, 2.56 km wide, at 100,000 places."""

    NAME: ClassVar = "s2_100k"
    ROWS_PER_FILE: ClassVar = 256
    ABOUT: ClassVar = {
        "description": (
            "Sentinel-2 chips of 256×256 pixels of 10 m in the 12 bands of level 2A (B1 to B12 "
            "without B10): digital numbers, as published, at places drawn on land. Made from "
            "the files of S2-100K, on which SatCLIP was trained."
        ),
        "homepage": "https://github.com/microsoft/satclip",
        "citation": (
            "@article{klemmer2023satclip, title={SatCLIP: Global, General-Purpose Location "
            "Embeddings with Satellite Imagery}, author={Klemmer, Konstantin and Rolf, Esther "
            "and Robinson, Caleb and Mackey, Lester and Ru{\\ss}wurm, Marc}, "
            "journal={arXiv preprint arXiv:2311.17179}, year={2023}}"
        ),
    }

    def sample_features(self) -> dict[str, Any]:
        """The chip, stored as raw bytes: TFDS would store a plain tensor as int64."""
        import tensorflow_datasets as tfds

        return {
            "chip": tfds.features.Tensor(
                shape=(PIXELS, PIXELS, BANDS),
                dtype=np.uint16,
                encoding="bytes",
                doc="Digital numbers, north up, bands last.",
            )
        }

    def fingerprint(self) -> dict[str, Any]:
        """The index; chips added later go unnoticed."""
        return {"index_sha256": sha256(self.source / "index.csv")}

    def read_index(self, make: MakeFiles) -> Index:
        """The rows of index.csv; a row without a place is an error."""
        del make
        path = self.source / "index.csv"
        if not (self.source / "images").is_dir():
            raise DataError(
                f"{self.source}: expected index.csv and a folder images, found no such folder"
            )
        table, lonlat = read_geotable(path)
        names = files_below(self.source / "images", file_names(table, path, "fn"), path)
        return Index(names, lonlat.astype(np.float32))

    def sample(self, key: str) -> dict[str, Any] | Skipped:
        """Reads a chip by its file's name."""
        chip = read_chip(self.source / "images" / key)
        return chip if isinstance(chip, Skipped) else {"chip": chip}


def read_chip(path: Path) -> np.ndarray | Skipped:
    """A chip (256, 256, 12) uint16, or why there is none."""
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
            # GDAL has drivers that reach the network; this one reads GeoTIFF.
            with rasterio.open(path, driver="GTiff") as file:
                shape, types = (file.count, file.height, file.width), set(file.dtypes)
                # GDAL holds whole blocks, which may be larger than the image.
                block = max(height * width for height, width in file.block_shapes)
                chip = shape == (BANDS, PIXELS, PIXELS) and types == {"uint16"}
                if not chip or block > MAX_PIXELS:
                    return Skipped("of another shape or type", path.name)
                bands = file.read()
    except (OSError, RasterioError):
        return Skipped("broken", path.name)
    return np.ascontiguousarray(bands.transpose(1, 2, 0))
