"""`earth-embed features`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from earth_embed.cli.parsing import parse_parts
from earth_embed.config.views import ViewSettings


@dataclass(frozen=True)
class Features:
    """Runs a frozen encoder over a data set, once; started again, it goes on where it stopped."""

    encoder: Annotated[str, tyro.conf.Positional]
    """The encoder: resnet50_sentinel2, clip_vit_l14_image, minilm_l6, … (see
    docs/frozen_encoders.md)."""
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
    from earth_embed.processes import is_main, join
    from earth_embed.serving.features import write_features

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
