"""`earth-embed prepare`, `features` and `import`: what comes before training or replaces it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from earth_embed.cli.parsing import (
    Coordinator,
    DataDir,
    ProcessCount,
    ProcessNumber,
    optional,
    parse,
    parse_parts,
)
from earth_embed.features.views import ViewSettings
from earth_embed.progress import be_quiet, phase


@dataclass(frozen=True)
class Prepare:
    """Prepare a data set on disk. A repeated call continues where the last one stopped."""

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """s2_100k, mp16, wikipedia, or any other data set that TFDS knows."""
    source: Annotated[Path | None, optional("none", "DIR")] = None
    """Directory of the published files that s2_100k, mp16 or wikipedia is made from."""
    data_dir: DataDir = None
    """Directory of TFDS data sets."""
    verify: bool = False
    """Read all finished files and compare their checksums, instead of only their sizes."""
    image_size: Annotated[int | None, optional("256", "INT")] = None
    """Side of mp16's images in pixels; they are cropped to a centred square."""


def prepare(arguments: list[str]) -> None:
    """Prepares a data set on disk, or checks the one that is there."""
    from earth_embed.data import tfds
    from earth_embed.datasets.catalogue import from_files, verify
    from earth_embed.datasets.preparation.index import Thinning
    from earth_embed.datasets.preparation.prepare import Work, prepare_from_files

    options, thinning, work = parse_parts(
        arguments, "earth-embed prepare", Prepare, Thinning, Work, description=Prepare.__doc__
    )
    if options.source is not None:
        published = from_files(options.dataset, options.source, options.image_size)
        print(prepare_from_files(published, options.data_dir, work, options.verify, thinning))
    elif options.verify:
        with phase("reading every file of the data set"):
            said = verify(options.dataset, options.data_dir, work.workers)
        print(said)
    else:
        builder = tfds.prepare(options.dataset, options.data_dir, download=True)
        print(f"prepared {builder.data_path}")


@dataclass(frozen=True)
class Features:
    """Encode a data set with a frozen encoder. A repeated call continues where the last stopped."""

    encoder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENCODER")]
    """resnet50_sentinel2, clip_vit_l14_image, minilm_l6, … (see
    docs/pages/how-to/frozen_encoders.md)."""
    weights: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")]
    """The encoder's weights, a safetensors or torch file."""
    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """A TFDS data set, such as s2_100k, or a table (.csv, .parquet)."""
    field: str
    """What holds the samples: a feature of the data set, or a column or .npy file of the table."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="DIR")]
    """Directory to write: features in shards, places, and features.json, which training reads."""
    split: str = "train+validation"
    """Splits of a TFDS data set, one after the other. A table is always used whole."""
    tokenizer: Annotated[Path | None, optional("the one beside the weights", "FILE")] = None
    """The tokenizer.json of a text encoder."""
    batch_size: int = 64
    """Samples encoded at a time; a multiple of the number of local devices."""
    data_dir: DataDir = None
    """Directory of TFDS data sets."""
    coordinator: Coordinator = None
    """To encode with several processes: the address of process 0, or "auto" to ask the cluster."""
    processes: ProcessCount = None
    """Number of processes that share the work and the output directory."""
    process: ProcessNumber = None
    """Number of this process, from 0."""


def features(arguments: list[str]) -> None:
    """Encodes a data set with a frozen encoder."""
    options, views = parse_parts(
        arguments, "earth-embed features", Features, ViewSettings, description=Features.__doc__
    )
    with phase("importing JAX and Flax"):
        from earth_embed.features.write import write_features
        from earth_embed.processes import is_main, join

    with phase("starting JAX on its devices"):
        join(options.coordinator, options.processes, options.process)
        if not is_main():
            be_quiet()
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
    """Turn published weights of a location encoder into a run."""

    published: Annotated[Literal["satclip", "geoclip"], tyro.conf.Positional]
    """Whose weights they are."""
    file: Annotated[
        Path | None,
        tyro.conf.Positional,
        optional("for geoclip, the file in the installed package geoclip", "[FILE]"),
    ] = None
    """A safetensors or torch file."""
    run_dir: Annotated[
        Path | None, optional("runs/satclip-lL for L degrees, or runs/geoclip", "DIR")
    ] = None
    """Directory of the run."""


def import_run(arguments: list[str]) -> None:
    """Turns published weights into a run."""
    options: Import = parse(Import, arguments, "earth-embed import")
    with phase("importing JAX, Flax and Orbax"):
        from earth_embed.pretrained.imports import import_weights

    with phase("reading the weights and writing the run"):
        published, run_dir = import_weights(options.published, options.file, options.run_dir)
    print(f"imported {published.summary}: {published.parameters:,} parameters")
    print(f"wrote {run_dir}; next: earth-embed evaluate {run_dir}")
