"""One experiment, whole: frozen, typed dataclasses that refuse contradictions before any work.

The attribute docstrings are the command line's `--help`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from earth_embed.config.checks import Faults
from earth_embed.config.methods import Melt, Method, Pair


@dataclass(frozen=True)
class LocationConfig:
    """The location encoder: real spherical harmonics, then a SIREN."""

    degree: int = 10
    """Number L of spherical-harmonic degrees l = 0 … L−1; L² features. Low is smooth."""
    hidden: tuple[int, ...] = (512, 512)
    """Widths of the SIREN's hidden layers."""
    features: int = 256
    """Dimension D of the embedding."""
    w0_first: float = 30.0
    """Frequency w0 of the first sine layer (SIREN; SatCLIP uses 30). Low is smooth."""
    w0_hidden: float = 1.0
    """Frequency w0 of the other sine layers."""
    dropout: float = 0.0
    """Dropout on the hidden pre-activations while training (SatCLIP uses 0.5)."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("location", self)
        faults.expect(
            1 <= self.degree <= 200,
            "degree",
            self.degree,
            "1 … 200 (float32 recurrence; its seed underflows near 256)",
        )
        faults.expect(
            bool(self.hidden) and all(width > 0 for width in self.hidden),
            "hidden",
            self.hidden,
            "at least one positive width",
        )
        faults.at_least("features", self.features, 1)
        faults.positive("w0_first", self.w0_first)
        faults.positive("w0_hidden", self.w0_hidden)
        faults.fraction("dropout", self.dropout)
        faults.raise_if_any()


@dataclass(frozen=True)
class Modality:
    """One modality: where its samples and places come from, and what encodes them."""

    name: str
    """Its name in metrics and parameters."""
    dataset: str
    """A TFDS builder ("blue_marble", or "blue_marble/tiny" with a config), or the path of a CSV or
    Parquet table with columns lon and lat (degrees)."""
    field: str
    """The feature or column that holds the sample; for a table also a .npy file with one row per
    table row, relative to the table."""
    encoder: str = "projection"
    """The modality encoder: "image", "text", "series", "projection", or one you registered."""
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
    A table's splits are "train", "validation" and "all"."""
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
        return PurePath(self.dataset).suffix.lower() in (".csv", ".parquet", ".pq")

    @property
    def shown_layers(self) -> frozenset[str]:
        """The layers that this modality shows, its data set's own name among them."""
        own = PurePath(self.dataset).stem if self.is_table else re.split("[/:]", self.dataset)[0]
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


@dataclass(frozen=True)
class Optimizer:
    """AdamW with linear warm-up and cosine decay."""

    learning_rate: float = 1e-4
    """Peak learning rate (the paper: 1e-4)."""
    weight_decay: float = 0.01
    """Decoupled weight decay on matrices; none on vectors, biases, norms and the logit scale."""
    warmup_steps: int = 0
    """Steps of linear warm-up."""
    final_fraction: float = 0.0
    """The learning rate ends at this fraction of its peak (1: constant)."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("optimizer", self)
        faults.positive("learning_rate", self.learning_rate)
        faults.at_least("weight_decay", self.weight_decay, 0)
        faults.at_least("warmup_steps", self.warmup_steps, 0)
        faults.expect(0 <= self.final_fraction <= 1, "final_fraction", self.final_fraction, "0 … 1")
        faults.raise_if_any()


@dataclass(frozen=True)
class Input:
    """How batches reach the device. It changes speed and memory, never which examples are seen."""

    loader: Literal["tf.data", "python"] = "tf.data"
    """tf.data, or a Python thread that needs no TensorFlow (for tables and in-memory arrays)."""
    in_memory: bool = True
    """Read each data set into memory once; otherwise read records at random from disk."""
    prefetch: int = 2
    """Batches prepared ahead of the step."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("input", self)
        faults.one_of("loader", self.loader, ("tf.data", "python"))
        faults.at_least("prefetch", self.prefetch, 1)
        faults.raise_if_any()


@dataclass(frozen=True)
class Checkpoints:
    """When the run is saved, validated and logged."""

    save_every: int = 200
    """Steps between checkpoints; the last step is always saved."""
    keep: int = 2
    """The last so many checkpoints are kept, and the best by validation retrieval@1."""
    validate_every: int = 100
    """Steps between validations on held-out places."""
    validation_examples: int = 512
    """Held-out examples of each modality per validation (fewer where there are fewer)."""
    log_every: int = 10
    """Steps between lines of metrics."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("checkpoints", self)
        for name in ("save_every", "keep", "validate_every", "log_every"):
            faults.at_least(name, getattr(self, name), 1)
        faults.at_least("validation_examples", self.validation_examples, 2)
        faults.raise_if_any()


@dataclass(frozen=True)
class Experiment:
    """Everything that decides what a run computes."""

    name: str
    """The run's name: it goes to runs/NAME unless --run-dir says otherwise."""
    modalities: tuple[Modality, ...]
    """The modalities, each with its own places."""
    method: Method = field(default_factory=Melt)
    """How they train the location encoder: Pair, Melt or Salt."""
    location: LocationConfig = field(default_factory=LocationConfig)
    """The location encoder."""
    logit_scale: LogitScale = field(default_factory=LogitScale)
    """The learnable temperature."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """The optimiser."""
    input: Input = field(default_factory=Input)
    """The input pipeline."""
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    """Saving, validation and logging."""
    batch_size: int = 2048
    """Samples in a batch: of all modalities together (MELT) or of the active one (pair, SALT)."""
    steps: int = 1000
    """Optimiser steps."""
    seed: int = 0
    """Seed of initialisation, example order, dropout and SALT's shuffled order."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the towers' matrix products; parameters and loss are float32 always."""

    def __post_init__(self) -> None:
        """Checks the fields against each other."""
        faults = Faults("experiment", self)
        names = [modality.name for modality in self.modalities]
        faults.expect(
            re.fullmatch(r"[\w.-]+", self.name) is not None and self.name not in (".", ".."),
            "name",
            self.name,
            "letters, digits, '_', '-' and '.'",
        )
        faults.at_least("batch_size", self.batch_size, 2)
        faults.at_least("steps", self.steps, 1)
        faults.expect(0 <= self.seed < 2**31, "seed", self.seed, "0 … 2³¹ − 1")
        faults.one_of("compute_dtype", self.compute_dtype, ("float32", "bfloat16"))
        faults.expect(len(set(names)) == len(names), "modalities", names, "distinct names")
        if isinstance(self.method, Pair):
            faults.expect(len(names) == 1, "modalities", names, "one modality with method Pair")
        else:
            label = type(self.method).__name__
            faults.expect(len(names) >= 2, "modalities", names, f"two or more with method {label}")
        if isinstance(self.method, Melt) and self.method.quotas:
            quotas = self.method.quotas
            faults.expect(
                len(quotas) == len(names) and sum(quotas) == self.batch_size,
                "method.quotas",
                quotas,
                f"{len(names)} counts that sum to batch_size = {self.batch_size}",
            )
        if isinstance(self.method, Melt):
            faults.expect(
                self.batch_size >= 2 * len(names),
                "batch_size",
                self.batch_size,
                f"at least two samples for each of {len(names)} modalities",
            )
        faults.expect(
            self.optimizer.warmup_steps <= self.steps,
            "optimizer.warmup_steps",
            self.optimizer.warmup_steps,
            f"at most steps = {self.steps}",
        )
        faults.raise_if_any()

    @property
    def shown_layers(self) -> frozenset[str]:
        """Every layer that training shows; none of them may be an evaluation target."""
        return frozenset().union(*(modality.shown_layers for modality in self.modalities))
