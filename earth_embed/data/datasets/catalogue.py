"""The data sets that are made from published files, by name."""

from __future__ import annotations

from pathlib import Path

from earth_embed.data.datasets.chips import S2100k
from earth_embed.data.published import PublishedFiles
from earth_embed.errors import DataError

FROM_FILES: dict[str, type[PublishedFiles]] = {kind.NAME: kind for kind in (S2100k,)}
"""Name → what makes it of a folder."""


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


def from_files(dataset: str, source: Path) -> PublishedFiles:
    """A data set and its published files.

    Args:
        dataset: One of FROM_FILES.
        source: The folder of the published files.

    Raises:
        DataError: there is no such data set.
    """
    check_from_files(dataset)
    return FROM_FILES[dataset](source)
