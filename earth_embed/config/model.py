"""Settings of what is trained beside the location encoder: the modalities, the temperature."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from earth_embed.config.checks import Faults


@dataclass(frozen=True)
class Modality:
    """One modality: where its samples and places come from, and what encodes them."""

    name: str
    """Its name in metrics and parameters."""
    dataset: str
    """A TFDS builder ("blue_marble", or "blue_marble/tiny" with a config), the path of a CSV,
    JSON lines or Parquet table with columns lon and lat (degrees), or that of the features.json
    that `earth-embed features` wrote."""
    field: str
    """The feature or column that holds the sample; for a table also a .npy file with one row per
    table row, relative to the table; "features" of a features.json."""
    encoder: str = "projection"
    """The modality encoder: "image", "text", "series", "projection", or one you registered.
    "target" leaves numeric samples as they are, and a linear head on the location embedding meets
    them."""
    width: int = 64
    """Width of the modality encoder."""
    depth: int = 2
    """Depth of the modality encoder."""
    mean: float = 0.0
    """Numeric samples are standardised as (x − mean) / std before they are encoded."""
    std: float = 1.0
    """See mean."""
    text_bytes: int = 96
    """Text is cut, or padded with zeros, to this many UTF-8 bytes."""
    train_split: str = "train"
    """Split to train on; a slice such as "train[:90%]" where the TFDS data set holds out nothing.
    A table's and a features.json's splits are "train", "validation" and "all"."""
    validation_split: str = "validation"
    """Split of held-out places."""
    layers: tuple[str, ...] = ()
    """Geographic layers that this modality shows. An evaluation task that predicts one of them is
    refused. The data set's own name always counts."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults(f"modalities[{self.name!r}]", self)
        faults.expect(
            re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name) is not None,
            "name",
            self.name,
            "letters, digits and underscores, a letter first",
        )
        faults.expect(bool(self.dataset), "dataset", self.dataset, "a TFDS name or a table's path")
        faults.expect(bool(self.field), "field", self.field, "a feature or column name")
        faults.at_least("width", self.width, 1)
        faults.at_least("depth", self.depth, 1)
        faults.positive("std", self.std)
        faults.at_least("text_bytes", self.text_bytes, 1)
        faults.raise_if_any()

    @property
    def is_table(self) -> bool:
        """Whether `dataset` is a user's table rather than a TFDS builder."""
        return PurePath(self.dataset).suffix.lower() in (".csv", ".jsonl", ".parquet", ".pq")

    @property
    def is_features(self) -> bool:
        """Whether `dataset` is what `earth-embed features` wrote."""
        return PurePath(self.dataset).name == "features.json"

    @property
    def shown_layers(self) -> frozenset[str]:
        """The layers that this modality shows, its data set's own name among them."""
        path = PurePath(self.dataset)
        if self.is_features:
            own = path.parent.name
        else:
            own = path.stem if self.is_table else re.split("[/:]", self.dataset)[0]
        return frozenset({*self.layers, own})


@dataclass(frozen=True)
class LogitScale:
    """The learnable inverse temperature, exp(s), clamped from above."""

    temperature: float = 0.07
    """Initial temperature τ; s starts at ln(1/τ) (CLIP and SatCLIP: 0.07)."""
    min_temperature: float = 0.01
    """exp(s) is clamped to at most 1/min_temperature (CLIP: 0.01, that is a scale of 100)."""
    learnable: bool = True
    """Whether s trains."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("logit_scale", self)
        faults.positive("min_temperature", self.min_temperature)
        faults.expect(
            self.temperature >= self.min_temperature,
            "temperature",
            self.temperature,
            f"a number ≥ min_temperature = {self.min_temperature}",
        )
        faults.raise_if_any()
