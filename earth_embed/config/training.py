"""How training runs: the optimizer, the input pipeline, the devices, saving and logging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from earth_embed.checks import Checked, Checks


@dataclass(frozen=True)
class Optimizer(Checked, owner="optimizer"):
    """AdamW with linear warm-up and cosine decay."""

    learning_rate: float = 1e-4
    """Peak learning rate (the paper: 1e-4)."""
    weight_decay: float = 0.01
    """Decoupled weight decay of matrices. Biases, norms and logit scales do not decay."""
    warmup_steps: int = 0
    """Steps of linear warm-up."""
    final_fraction: float = 0.0
    """Final learning rate as a fraction of the peak (1: constant)."""
    not_finite: Literal["stop", "skip"] = "stop"
    """What to do about a loss or gradient that is not finite. Its step never changes the
    parameters; the run then stops, or skips it. A stopped run can be resumed with "skip"."""

    def _check(self, checks: Checks) -> None:
        checks.positive("learning_rate", self.learning_rate)
        checks.at_least("weight_decay", self.weight_decay, 0)
        checks.at_least("warmup_steps", self.warmup_steps, 0)
        checks.expect(0 <= self.final_fraction <= 1, "final_fraction", self.final_fraction, "0 … 1")


@dataclass(frozen=True)
class Input(Checked, owner="input"):
    """How batches reach the device. Affects speed and memory, never which examples are seen."""

    loader: Literal["tf.data", "python"] = "tf.data"
    """tf.data, or a Python thread, which needs no TensorFlow (for tables and in-memory arrays)."""
    in_memory: bool = True
    """Whether to read each data set into memory once, instead of random records from disk."""
    prefetch: int = 2
    """Batches to prepare ahead of the step."""
    workers: int = 2
    """Batches of each modality to read in parallel. More help if reading is the bottleneck; each
    holds one batch in memory."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("prefetch", self.prefetch, 1)
        checks.at_least("workers", self.workers, 1)


@dataclass(frozen=True)
class MeshConfig(Checked, owner="mesh"):
    """How devices share a run, as a mesh data × model. Results change only by rounding."""

    model: int = 1
    """Number of devices over which one copy of the parameters and moments is sharded. Batches are
    always split over all devices."""
    split_from: int = 2**16
    """Minimum number of elements for an array to be sharded over the `model` axis; smaller arrays
    are replicated."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("model", self.model, 1)
        checks.at_least("split_from", self.split_from, 1)


@dataclass(frozen=True)
class Checkpoints(Checked, owner="checkpoints"):
    """When to save, validate and log."""

    save_every: int = 200
    """Steps between checkpoints. The last step is always saved."""
    keep: int = 2
    """Number of most recent checkpoints to keep, besides the best by validation retrieval@1."""
    validate_every: int = 100
    """Steps between validations on held-out locations."""
    validation_examples: int = 512
    """Held-out examples of each modality per validation, or all if there are fewer."""
    log_every: int = 10
    """Steps between logged metrics."""

    def _check(self, checks: Checks) -> None:
        for name in ("save_every", "keep", "validate_every", "log_every"):
            checks.at_least(name, getattr(self, name), 1)
        checks.at_least("validation_examples", self.validation_examples, 2)
