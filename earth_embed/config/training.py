"""Settings of how it is trained: the optimiser, the input pipeline, saving and logging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from earth_embed.errors import Checked, Checks


@dataclass(frozen=True)
class Optimizer(Checked, owner="optimizer"):
    """AdamW with linear warm-up and cosine decay."""

    learning_rate: float = 1e-4
    """Peak learning rate (the paper: 1e-4)."""
    weight_decay: float = 0.01
    """Decoupled weight decay on matrices; none on vectors, biases, norms and the logit scale."""
    warmup_steps: int = 0
    """Steps of linear warm-up."""
    final_fraction: float = 0.0
    """The learning rate ends at this fraction of its peak (1: constant)."""
    not_finite: Literal["stop", "skip"] = "stop"
    """A step whose loss or gradient is not finite changes nothing. Then stop, or go on without it.
    A run that was stopped may be resumed with the other."""

    def _check(self, checks: Checks) -> None:
        checks.positive("learning_rate", self.learning_rate)
        checks.at_least("weight_decay", self.weight_decay, 0)
        checks.at_least("warmup_steps", self.warmup_steps, 0)
        checks.expect(0 <= self.final_fraction <= 1, "final_fraction", self.final_fraction, "0 … 1")


@dataclass(frozen=True)
class Input(Checked, owner="input"):
    """How batches reach the device. It changes speed and memory, never which examples are seen."""

    loader: Literal["tf.data", "python"] = "tf.data"
    """tf.data, or a Python thread that needs no TensorFlow (for tables and in-memory arrays)."""
    in_memory: bool = True
    """Read each data set into memory once; otherwise read records at random from disk."""
    prefetch: int = 2
    """Batches prepared ahead of the step."""
    workers: int = 2
    """Batches of a modality that are read at the same time. More help where reading is the slower
    side; each holds a batch in memory."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("prefetch", self.prefetch, 1)
        checks.at_least("workers", self.workers, 1)


@dataclass(frozen=True)
class MeshConfig(Checked, owner="mesh"):
    """How devices share a run: a mesh data × model. What is computed changes by rounding alone."""

    model: int = 1
    """Devices that share one copy of parameters and moments; a batch is split over all devices."""
    split_from: int = 2**16
    """Arrays of at least so many numbers are split over those devices; each has the others."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("model", self.model, 1)
        checks.at_least("split_from", self.split_from, 1)


@dataclass(frozen=True)
class Checkpoints(Checked, owner="checkpoints"):
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

    def _check(self, checks: Checks) -> None:
        for name in ("save_every", "keep", "validate_every", "log_every"):
            checks.at_least(name, getattr(self, name), 1)
        checks.at_least("validation_examples", self.validation_examples, 2)
