"""The data sets made from published files, by name: how to make and to verify them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earth_embed.datasets.mp16 import Mp16
from earth_embed.datasets.preparation.index import PublishedFiles
from earth_embed.datasets.preparation.pieces import damaged_files, stamps
from earth_embed.datasets.preparation.prepared import (
    CHECKSUMS_FILE,
    PLAN_FILE,
    check_files,
    open_published,
    prepared_files,
    published_folder,
    write_checksums,
)
from earth_embed.datasets.s2_100k import S2100k
from earth_embed.datasets.wikipedia import Wikipedia
from earth_embed.errors import ConfigError, DataError

FROM_FILES: dict[str, type[PublishedFiles]] = {
    kind.NAME: kind for kind in (S2100k, Mp16, Wikipedia)
}
"""Name → the class that makes the data set from a folder."""


def from_files(dataset: str, source: Path, image_size: int | None = None) -> PublishedFiles:
    """One of FROM_FILES with its published files; `image_size`, pixels, is for mp16 alone.

    Raises:
        DataError: there is no such data set.
        ConfigError: `image_size` is not an option of the data set.
    """
    _check_name(dataset)
    if image_size is None:
        return FROM_FILES[dataset](source)
    if dataset != Mp16.NAME:
        raise ConfigError(f"image_size is an option of {Mp16.NAME}; {dataset} has no such choice")
    return Mp16(source, image_size)


def verify(dataset: str, data_dir: Path | None, workers: int) -> str:
    """Compares every file of a prepared data set with its SHA-256.

    A data set of an earlier version has checksums of its examples alone; all its files are recorded
    now.

    Returns:
        One line that says how much was read.

    Raises:
        DataError: there is no such data set, it is not prepared or has no checksums, or files are
            damaged; the message names each, with what was expected and found.
    """
    _check_name(dataset)
    folder = published_folder(dataset, data_dir)
    builder = open_published(dataset, folder)
    if not (folder / PLAN_FILE).is_file():
        raise DataError(f"{folder} has no {PLAN_FILE}: it was not made by this command")
    files = prepared_files(builder)
    damage: Mapping[Any, str]
    if (folder / CHECKSUMS_FILE).exists():
        damage = check_files(folder, workers, contents=True)
    elif not (damage := damaged_files(files, workers, contents=True)):
        write_checksums(folder, stamps(folder, [file.name for file in files]))
    if damage:
        raise DataError(
            "; ".join(damage.values())
            + f" (earth-embed prepare {dataset} --source DIR --verify makes only "
            + ("this file" if len(damage) == 1 else f"these {len(damage)} of {len(files)} files")
            + " anew)"
        )
    size = sum(file.stat().st_size for file in files)
    return f"{folder}: {len(files)} files, {size / 1e6:,.1f} MB, as their checksums say"


def _check_name(dataset: str) -> None:
    if dataset not in FROM_FILES:
        raise DataError(
            f"no data set {dataset!r} that is made from published files; "
            f"expected {' or '.join(FROM_FILES)}"
        )
