"""`earth-embed prepare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from earth_embed.cli.parsing import parse, parse_parts
from earth_embed.features.views import ViewSettings


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
    from earth_embed.data import tfds
    from earth_embed.datasets.catalogue import check_from_files, from_files
    from earth_embed.datasets.preparation import prepare as preparation
    from earth_embed.datasets.preparation.index import Thinning

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
        check_from_files(options.dataset)
        print(preparation.verify(options.dataset, options.data_dir, work.workers))
    else:
        print(f"prepared {tfds.prepare(options.dataset, options.data_dir).data_path}")


@dataclass(frozen=True)
class Features:
    """Runs a frozen encoder over a data set, once; started again, it goes on where it stopped."""

    encoder: Annotated[str, tyro.conf.Positional]
    """The encoder: resnet50_sentinel2, clip_vit_l14_image, minilm_l6, … (see
    docs/pages/how-to/frozen_encoders.md)."""
    weights: Annotated[Path, tyro.conf.Positional]
    """Its weights, a safetensors or torch file."""
    dataset: Annotated[str, tyro.conf.Positional]
    """A TFDS data set, such as s2_100k, or a table (.csv, .parquet)."""
    field: str
    """What holds the samples: a feature of the data set, or a column or .npy file of the table."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder to write: features in shards, places, and features.json, which training reads."""
    split: str = "train+validation"
    """Splits of a TFDS data set, one after the other. Of a table, all rows are taken."""
    tokenizer: Path | None = None
    """The tokenizer.json of a text encoder (default: the one beside the weights)."""
    batch_size: int = 64
    """Samples encoded at a time, a multiple of the number of local devices."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""
    coordinator: str | None = None
    """One of several processes: HOST:PORT of process 0, or "auto" to ask the cluster
    (default: EARTH_EMBED_COORDINATOR, else a TPU pod, Slurm step or Kubernetes job, else alone)."""
    processes: int | None = None
    """How many processes share the work and the folder (default: EARTH_EMBED_PROCESSES)."""
    process: int | None = None
    """Which of them this is, from 0 (default: EARTH_EMBED_PROCESS)."""


def features(arguments: list[str]) -> None:
    """Runs a frozen encoder over a data set."""
    options, views = parse_parts(arguments, "earth-embed features", Features, ViewSettings)
    # Imported late, as for every command: --help waits for neither JAX nor Flax.
    from earth_embed.features.write import write_features
    from earth_embed.processes import is_main, join

    join(options.coordinator, options.processes, options.process)
    rows = write_features(
        options.encoder,
        options.weights,
        options.dataset,
        options.field,
        options.output,
        views=views,
        split=options.split,
        tokenizer=options.tokenizer,
        batch_size=options.batch_size,
        data_dir=options.data_dir,
    )
    if is_main():
        file = options.output / "features.json"
        print(f"wrote {rows} rows to {options.output}; train on them as dataset {str(file)!r}")


@dataclass(frozen=True)
class Import:
    """Turns published weights of a location encoder into a run."""

    published: Annotated[Literal["satclip", "geoclip"], tyro.conf.Positional]
    """Whose weights they are."""
    file: Annotated[Path | None, tyro.conf.Positional] = None
    """A safetensors or torch file (default for geoclip: the one in the installed package)."""
    run_dir: Path | None = None
    """Directory of the run (default: runs/satclip-lL for L degrees, or runs/geoclip)."""


def import_run(arguments: list[str]) -> None:
    """Turns published weights into a run."""
    options: Import = parse(Import, arguments, "earth-embed import")
    from earth_embed.pretrained.imports import import_weights

    published, run_dir = import_weights(options.published, options.file, options.run_dir)
    print(f"imported {published.summary}: {published.parameters:,} parameters")
    print(f"wrote {run_dir}; next: earth-embed evaluate {run_dir}")
