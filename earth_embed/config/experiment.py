"""One experiment, whole: frozen, typed dataclasses that refuse contradictions before any work.

The attribute docstrings are the command line's `--help`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from earth_embed.config.objective import (
    Loss,
    Melt,
    Memory,
    Method,
    NtXent,
    Pair,
    Regression,
    Sigmoid,
)
from earth_embed.config.training import Checkpoints, Input, MeshConfig, Optimizer
from earth_embed.encoders.location import Location, LocationConfig
from earth_embed.errors import Checked, Checks


@dataclass(frozen=True)
class Modality(Checked, owner="modalities[{0.name!r}]"):
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
    geo_layers: tuple[str, ...] = ()
    """Geographic layers that this modality shows. An evaluation task that predicts one of them is
    refused. The data set's own name always counts."""

    def _check(self, checks: Checks) -> None:
        checks.expect(
            re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name) is not None,
            "name",
            self.name,
            "letters, digits and underscores, a letter first",
        )
        checks.expect(bool(self.dataset), "dataset", self.dataset, "a TFDS name or a table's path")
        checks.expect(bool(self.field), "field", self.field, "a feature or column name")
        checks.at_least("width", self.width, 1)
        checks.at_least("depth", self.depth, 1)
        checks.positive("std", self.std)
        checks.at_least("text_bytes", self.text_bytes, 1)

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
        return frozenset({*self.geo_layers, own})


@dataclass(frozen=True)
class LogitScale(Checked, owner="logit_scale"):
    """The learnable inverse temperature, exp(s), clamped from above."""

    temperature: float = 0.07
    """Initial temperature τ; s starts at ln(1/τ) (CLIP and SatCLIP: 0.07)."""
    min_temperature: float = 0.01
    """exp(s) is clamped to at most 1/min_temperature (CLIP: 0.01, that is a scale of 100)."""
    learnable: bool = True
    """Whether s trains."""

    def _check(self, checks: Checks) -> None:
        checks.positive("min_temperature", self.min_temperature)
        checks.expect(
            self.temperature >= self.min_temperature,
            "temperature",
            self.temperature,
            f"a number ≥ min_temperature = {self.min_temperature}",
        )


@dataclass(frozen=True)
class Experiment(Checked, owner="experiment"):
    """Everything that decides what a run computes."""

    name: str
    """The run's name: it goes to runs/NAME unless --run-dir says otherwise."""
    modalities: tuple[Modality, ...]
    """The modalities, each with its own places."""
    method: Method = field(default_factory=Melt)
    """How they train the location encoder: Pair, Melt or Salt."""
    location: Location = field(default_factory=LocationConfig)
    """The location encoder, or several combined."""
    logit_scale: LogitScale = field(default_factory=LogitScale)
    """The learnable temperature."""
    loss: Loss = field(default_factory=NtXent)
    """The loss: NtXent, Sigmoid, GeodesicNtXent or Regression."""
    memory: Memory = field(default_factory=Memory)
    """How a batch larger than memory is computed."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """The optimiser."""
    input: Input = field(default_factory=Input)
    """The input pipeline."""
    mesh: MeshConfig = field(default_factory=MeshConfig)
    """How the devices share the work."""
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    """Saving, validation and logging."""
    batch_size: int | Literal["all"] = 2048
    """Samples in a batch: of all modalities together (MELT) or of the active one (pair, SALT).
    "all": every example of a modality in one batch, so that an epoch is one step (but for a rest
    that the devices cannot share, another one each epoch)."""
    steps: int = 1000
    """Optimiser steps."""
    seed: int = 0
    """Seed of initialisation, example order, dropout and SALT's shuffled order."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the towers' matrix products; parameters and loss are float32 always."""

    def _check(self, checks: Checks) -> None:
        names = [modality.name for modality in self.modalities]
        checks.expect(
            re.fullmatch(r"[\w.-]+", self.name) is not None and self.name not in (".", ".."),
            "name",
            self.name,
            "letters, digits, '_', '-' and '.'",
        )
        size = self.batch_size
        checks.expect(
            size == "all" if isinstance(size, str) else size >= 2,
            "batch_size",
            size,
            "a number ≥ 2 or 'all'",
        )
        checks.at_least("steps", self.steps, 1)
        checks.expect(0 <= self.seed < 2**31, "seed", self.seed, "0 … 2³¹ − 1")
        checks.expect(len(set(names)) == len(names), "modalities", names, "distinct names")
        if isinstance(self.method, Pair):
            checks.expect(len(names) == 1, "modalities", names, "one modality with method Pair")
        else:
            label = type(self.method).__name__
            checks.expect(len(names) >= 2, "modalities", names, f"two or more with method {label}")
        if isinstance(self.method, Melt) and self.method.quotas:
            quotas = self.method.quotas
            checks.expect(
                len(quotas) == len(names) and sum(quotas) == size,
                "method.quotas",
                quotas,
                f"{len(names)} counts that sum to batch_size = {size!r}",
            )
        if isinstance(self.method, Melt) and self.method.weights:
            weights = self.method.weights
            allowed = f"{len(names)} weights, one a modality"
            checks.expect(len(weights) == len(names), "method.weights", weights, allowed)
        if isinstance(self.method, Melt) and isinstance(size, int):
            checks.expect(
                size >= 2 * len(names),
                "batch_size",
                size,
                f"at least two samples for each of {len(names)} modalities",
            )
        checks.expect(
            self.optimizer.warmup_steps <= self.steps,
            "optimizer.warmup_steps",
            self.optimizer.warmup_steps,
            f"at most steps = {self.steps}",
        )
        if isinstance(self.loss, Sigmoid | Regression):
            name = type(self.loss).__name__
            checks.expect(
                self.method.direction == "sample_to_location",
                "method.direction",
                self.method.direction,
                f"'sample_to_location' with loss {name}, which has no other",
            )
        if isinstance(self.loss, Regression):
            encoders = [modality.encoder for modality in self.modalities]
            checks.expect(
                set(encoders) == {"target"},
                "modalities.encoder",
                encoders,
                "'target' alone with loss Regression: without negatives, a trained encoder would "
                "make all samples alike",
            )

    @property
    def shown_layers(self) -> frozenset[str]:
        """Every layer that training shows; none of them may be an evaluation target."""
        return frozenset().union(*(modality.shown_layers for modality in self.modalities))
