"""`earth-embed features`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from earth_embed.cli.parsing import parse


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
    """Table of places to write, .parquet or .csv; features and a record go beside it, as .npy and
    .json."""
    split: str = "train+validation"
    """Splits of a TFDS data set, one after the other. Of a table, all rows are taken."""
    tokenizer: Path | None = None
    """The tokenizer.json of a text encoder (default: the one beside the weights)."""
    batch_size: int = 64
    """Samples encoded at a time, a multiple of the number of local devices."""
    data_dir: Path | None = None
    """Directory of TFDS data sets (default: TFDS_DATA_DIR, else TFDS's own)."""


def features(arguments: list[str]) -> None:
    """Runs a frozen encoder over a data set."""
    options: Features = parse(Features, arguments, "earth-embed features")
    from earth_embed.serving.features import write_features

    rows = write_features(
        options.encoder,
        options.weights,
        options.dataset,
        options.field,
        options.output,
        split=options.split,
        tokenizer=options.tokenizer,
        batch_size=options.batch_size,
        data_dir=options.data_dir,
    )
    array = options.output.with_suffix(".npy").name
    print(f"wrote {rows} rows to {options.output}; train on them as field {array!r} of that table")
