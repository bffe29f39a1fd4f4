"""One experiment: its modalities and everything else that decides what a run computes.

Contradictory settings are refused on construction, before any work. The attribute docstrings are
the command line's `--help`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from earth_embed.checks import Checked, Checks
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
from earth_embed.tablefiles import TABLE_SUFFIXES


@dataclass(frozen=True)
class Modality(Checked, owner="modalities[{0.name!r}]"):
    """One modality: where its samples and locations come from, and how they are encoded."""

    name: str
    """Name of the modality in metrics and parameters."""
    dataset: str
    """A TFDS data set ("blue_marble", or "blue_marble/tiny" with a config): one of this package's
    or your own, or one that is prepared on disk. Or a CSV, JSON lines or Parquet table with columns
    lon and lat (degrees), or a features.json written by `earth-embed features`."""
    field: str
    """The TFDS feature or table column that holds the sample. For a table, also a .npy file beside
    it with one row per table row. For a features.json: "features"."""
    encoder: str = "projection"
    """The modality encoder: "image", "text", "series", "projection", or one you registered.
    "target" does not encode numeric samples: a linear head maps location embeddings to them."""
    width: int = 64
    """Width of the modality encoder's hidden layers."""
    depth: int = 2
    """Number of layers or blocks of the modality encoder."""
    mean: float = 0.0
    """Mean of the samples: numeric samples are standardised to (x − mean) / std."""
    std: float = 1.0
    """Standard deviation of the samples; see mean."""
    text_bytes: int = 96
    """Length to which text is cut or zero-padded, in UTF-8 bytes."""
    train_split: str = "train"
    """Split to train on. TFDS also takes slices such as "train[:90%]", for data sets without a
    validation split. Tables and features.json have "train", "validation" and "all"."""
    validation_split: str = "validation"
    """Split of held-out locations."""
    geo_layers: tuple[str, ...] = ()
    """Geographic layers that the samples show, such as "elevation". Evaluation refuses tasks that
    predict one of them. The data set's own name always counts as one."""

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
        """Whether `dataset` is a table rather than a TFDS builder."""
        return PurePath(self.dataset).suffix.lower() in TABLE_SUFFIXES

    @property
    def is_features(self) -> bool:
        """Whether `dataset` was written by `earth-embed features`."""
        return PurePath(self.dataset).name == "features.json"

    @property
    def shown_layers(self) -> frozenset[str]:
        """The geographic layers that this modality shows, including its data set's name."""
        path = PurePath(self.dataset)
        if self.is_features:
            own = path.parent.name
        else:
            own = path.stem if self.is_table else re.split("[/:]", self.dataset)[0]
        return frozenset({*self.geo_layers, own})


@dataclass(frozen=True)
class LogitScale(Checked, owner="logit_scale"):
    """The logit scale 1/τ = exp(s): a learnable inverse temperature, clamped from above."""

    temperature: float = 0.07
    """Initial temperature τ (CLIP and SatCLIP: 0.07)."""
    min_temperature: float = 0.01
    """Lower bound of τ (CLIP: 0.01, a logit scale of 100)."""
    learnable: bool = True
    """Whether τ is trained."""

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
    """Name of the run. Its directory is runs/NAME unless --run-dir is given."""
    modalities: tuple[Modality, ...]
    """The modalities, each with its own locations."""
    method: Method = field(default_factory=Melt)
    """How the modalities train the location encoder: Pair, Melt or Salt."""
    location: Location = field(default_factory=LocationConfig)
    """The location encoder, or several combined."""
    logit_scale: LogitScale = field(default_factory=LogitScale)
    """The temperature of the contrastive loss."""
    loss: Loss = field(default_factory=NtXent)
    """The loss: NtXent, Sigmoid, GeodesicNtXent or Regression."""
    memory: Memory = field(default_factory=Memory)
    """How to compute batches that do not fit in memory at once."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """The optimizer, AdamW."""
    input: Input = field(default_factory=Input)
    """The input pipeline."""
    mesh: MeshConfig = field(default_factory=MeshConfig)
    """How devices share the work."""
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    """When to save, validate and log."""
    batch_size: int | Literal["all"] = 2048
    """Samples per batch: of all modalities together (MELT) or of the active one (pair, SALT).
    "all": every example in one batch, so that one step is one epoch. A remainder that the devices
    cannot share evenly is left out, a different one each epoch."""
    steps: int = 1000
    """Number of optimizer steps."""
    seed: int = 0
    """Random seed of initialisation, example order, dropout and SALT's shuffled order."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Data type of the encoders' matrix products. Parameters and loss are always float32."""

    def _check(self, checks: Checks) -> None:
        names = [modality.name for modality in self.modalities]
        good = re.fullmatch(r"[\w.-]+", self.name) is not None and self.name not in (".", "..")
        checks.expect(good, "name", self.name, "letters, digits, '_', '-' and '.'")
        size = self.batch_size
        good = size == "all" if isinstance(size, str) else size >= 2
        checks.expect(good, "batch_size", size, "a number ≥ 2 or 'all'")
        checks.at_least("steps", self.steps, 1)
        checks.expect(0 <= self.seed < 2**31, "seed", self.seed, "0 … 2³¹ − 1")
        checks.expect(len(set(names)) == len(names), "modalities", names, "distinct names")
        warmup, allowed = self.optimizer.warmup_steps, f"at most steps = {self.steps}"
        checks.expect(warmup <= self.steps, "optimizer.warmup_steps", warmup, allowed)
        if isinstance(self.method, Pair):
            checks.expect(len(names) == 1, "modalities", names, "one modality with method Pair")
        else:
            label = type(self.method).__name__
            checks.expect(len(names) >= 2, "modalities", names, f"two or more with method {label}")
        if isinstance(self.method, Melt):
            self._check_joint_batch(checks, self.method, len(names))
        if isinstance(self.loss, Sigmoid | Regression):
            direction, label = self.method.direction, type(self.loss).__name__
            allowed = f"'sample_to_location' with loss {label}, which has no other"
            good = direction == "sample_to_location"
            checks.expect(good, "method.direction", direction, allowed)
        if isinstance(self.loss, Regression):
            encoders = [modality.encoder for modality in self.modalities]
            checks.expect(
                set(encoders) == {"target"},
                "modalities.encoder",
                encoders,
                "'target' alone with loss Regression: without negatives, a trained encoder would "
                "make all samples alike",
            )

    def _check_joint_batch(self, checks: Checks, melt: Melt, count: int) -> None:
        size, quotas, weights = self.batch_size, melt.quotas, melt.weights
        good = not quotas or (len(quotas) == count and sum(quotas) == size)
        allowed = f"{count} counts that sum to batch_size = {size!r}"
        checks.expect(good, "method.quotas", quotas, allowed)
        good = not weights or len(weights) == count
        checks.expect(good, "method.weights", weights, f"{count} weights, one per modality")
        good = isinstance(size, str) or size >= 2 * count
        allowed = f"at least two samples for each of {count} modalities"
        checks.expect(good, "batch_size", size, allowed)

    @property
    def shown_layers(self) -> frozenset[str]:
        """Every geographic layer that training shows; none of them may be an evaluation target."""
        return frozenset().union(*(modality.shown_layers for modality in self.modalities))
