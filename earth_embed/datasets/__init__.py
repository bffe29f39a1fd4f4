"""Makes this package's data sets.

Small ones come from files inside ordinary Python packages, large ones from published files
(`preparation/`). Training reads them through `data/`; nothing here knows of batches.
"""

from __future__ import annotations

from pathlib import Path

from earth_embed.datasets.mp16 import Mp16
from earth_embed.datasets.preparation.index import PublishedFiles
from earth_embed.datasets.s2_100k import S2100k
from earth_embed.datasets.wikipedia import Wikipedia
from earth_embed.errors import ConfigError, DataError

FROM_FILES: dict[str, type[PublishedFiles]] = {
    kind.NAME: kind for kind in (S2100k, Mp16, Wikipedia)
}
"""Name → the class that makes the data set from a folder."""


def check_from_files(dataset: str) -> None:
    """Checks a name.

    Raises:
        DataError: there is no such data set.
    """
    if dataset not in FROM_FILES:
        raise DataError(
            f"no data set {dataset!r} that is made from published files; "
            f"expected {' or '.join(FROM_FILES)}"
        )


def from_files(dataset: str, source: Path, image_size: int | None = None) -> PublishedFiles:
    """A data set and its published files.

    Args:
        dataset: One of FROM_FILES.
        source: The folder of the published files.
        image_size: Side of mp16's pictures, pixels; None for the default.

    Raises:
        DataError: there is no such data set.
        ConfigError: `image_size` is not an option of the data set.
    """
    check_from_files(dataset)
    if image_size is None:
        return FROM_FILES[dataset](source)
    if dataset != Mp16.NAME:
        raise ConfigError(f"image_size is an option of {Mp16.NAME}; {dataset} has no such choice")
    return Mp16(source, image_size)
