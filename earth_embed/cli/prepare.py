"""`earth-embed prepare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from earth_embed.cli.parsing import parse_parts


@dataclass(frozen=True)
class Prepare:
    """Makes a data set on disk; started again, it goes on where it stopped."""

    dataset: Annotated[str, tyro.conf.Positional]
    """The data set: s2_100k, mp16, wikipedia, or any that TFDS knows."""
    source: Path | None = None
    """Folder of the published files that s2_100k, mp16 or wikipedia is made from."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""
    verify: bool = False
    """Read all finished files and compare their checksums, not their sizes alone."""
    image_size: int | None = None
    """Side of the pictures of mp16 in pixels, cut square from the middle (default: 256)."""


def prepare(arguments: list[str]) -> None:
    """Makes a data set on disk, or checks the one that is there."""
    from earth_embed.data import preparation, tfds_source
    from earth_embed.data.datasets.catalogue import from_files
    from earth_embed.data.thinning import Thinning

    options, thinning, work = parse_parts(
        arguments, "earth-embed prepare", Prepare, Thinning, preparation.Work
    )
    if options.source is not None:
        published = from_files(options.dataset, options.source, options.image_size)
        print(
            preparation.prepare_from_files(
                published, options.data_dir, work, options.verify, thinning
            )
        )
    elif options.verify:
        print(preparation.verify(options.dataset, options.data_dir, work.workers))
    else:
        print(f"prepared {tfds_source.prepare(options.dataset, options.data_dir).data_path}")
