"""Reads training data: sources, the order of examples, and batches on the host.

Beside `datasets/`, only this folder imports TensorFlow, and only when it is used. Nothing here
makes a data set or touches a device.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from earth_embed.config import Experiment, Modality
from earth_embed.data.features import open_features
from earth_embed.data.sources import Source, in_memory
from earth_embed.data.tables import open_table
from earth_embed.data.tfds import open_tfds
from earth_embed.errors import DataError
from earth_embed.progress import phase


class Splits(NamedTuple):
    """A modality's examples to train on, and the held-out ones."""

    train: Source
    validation: Source


def open_sources(experiment: Experiment, data_dir: Path | None = None) -> dict[str, Splits]:
    """Opens (and, for TFDS, prepares) every modality's data set.

    Args:
        experiment: Names the data sets.
        data_dir: Where TFDS keeps data; None: TFDS_DATA_DIR or TFDS's own default.

    Raises:
        DataError: a data set is missing, unreadable or holds fewer than two held-out places.
    """
    return {
        modality.name: _open(modality, experiment.input.in_memory, data_dir)
        for modality in experiment.modalities
    }


def _open(modality: Modality, keep_in_memory: bool, data_dir: Path | None) -> Splits:
    def source(split: str) -> Source:
        if modality.is_table:
            return open_table(Path(modality.dataset), modality.field, split, modality.text_bytes)
        if modality.is_features:
            return open_features(Path(modality.dataset), modality.field, split)
        return open_tfds(modality.dataset, modality.field, split, data_dir, modality.text_bytes)

    splits = Splits(source(modality.train_split), source(modality.validation_split))
    if len(splits.validation) < 2:
        raise DataError(
            f"{modality.dataset} holds out {len(splits.validation)} places for validation; "
            "expected at least 2 (about a tenth of the places are held out)"
        )
    if not keep_in_memory:
        return splits
    with phase(f"reading {modality.name} into memory"):
        return Splits(*map(in_memory, splits))
