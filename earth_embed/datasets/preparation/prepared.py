"""A data set that was made from published files, as it lies on disk: TFDS's metadata of it.

Nothing is registered with TFDS. A prepared folder describes itself, so that TFDS reads it without
this package, and a feature may have another size in each preparation.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earth_embed.data.datasets.catalogue import check_from_files
from earth_embed.data.published import PublishedFiles
from earth_embed.data.totals import Totals
from earth_embed.errors import DataError, EarthEmbedError, require

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

VERSION = "1.0.0"


def published_folder(dataset: str, data_dir: str | os.PathLike[str] | None) -> Path:
    """Where a data set that is made from published files lies, whether or not it is there.

    Raises:
        DataError: there is no such data set.
    """
    check_from_files(dataset)
    root = _tfds().core.constants.DATA_DIR if data_dir is None else data_dir
    return Path(root).expanduser().absolute() / dataset / VERSION


def open_published(dataset: str, folder: Path) -> tfds.core.DatasetBuilder:
    """Opens a data set that was made from published files, by its own metadata.

    Raises:
        DataError: it is not there, or its metadata cannot be read.
    """
    if not folder.exists():
        raise DataError(
            f"the data set {dataset!r} is not prepared in {folder}: "
            f"earth-embed prepare {dataset} --source DIR makes it from published files"
        )
    try:
        return _tfds().builder_from_directory(folder, file_format="array_record")
    except Exception as error:  # TFDS raises many kinds for metadata that it cannot read
        raise DataError(f"cannot open the data set {dataset!r} in {folder}: {error}") from error


def write_metadata(published: PublishedFiles, folder: Path, totals: Totals) -> None:
    """Writes TFDS's metadata, the last files of a data set.

    Args:
        published: What was made.
        folder: Where its files are.
        totals: What they add up to.

    Raises:
        DataError: there is no example.
        EarthEmbedError: the folder cannot be written.
    """
    tfds = _tfds()
    if not totals.examples.total():
        raise DataError(
            f"no row of the index has {published.HAS}: {totals} (remove {folder} to start anew)"
        )
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name=published.NAME,
            version=tfds.core.Version(VERSION),
            data_dir=str(folder),
            module_name="",
        ),
        features=published.features(),
        metadata=tfds.core.MetadataDict(rows=totals.rows, skipped=dict(totals.skipped)),
        **published.ABOUT,
    )
    info.set_file_format("array_record")
    splits = [
        tfds.core.SplitInfo(
            name=split, shard_lengths=lengths, num_bytes=totals.example_bytes[split]
        )
        for split, lengths in totals.lengths.items()
    ]
    info.set_splits(tfds.core.SplitDict(splits))
    try:
        info.write_to_directory(folder)
    except OSError as error:
        raise EarthEmbedError(f"cannot write {folder}: {error}") from error


def _tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise require(str(error.name), "data", "a data set from published files") from error
    return tensorflow_datasets
