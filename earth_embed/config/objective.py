"""Settings of the three training methods, with a documented default for what the paper leaves open.

Paper: "Multi-Modal Contrastive Learning for Implicit Earth Embeddings via Location Tying",
arXiv 2606.20167.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from earth_embed.config.checks import Faults

Direction: TypeAlias = Literal["sample_to_location", "symmetric"]
DIRECTIONS = ("sample_to_location", "symmetric")


@dataclass(frozen=True)
class Pair:
    """One modality and its locations, as in SatCLIP and GeoCLIP."""

    direction: Direction = "sample_to_location"
    """Each sample finds its location, or the mean of that and the reverse."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("method", self)
        faults.one_of("direction", self.direction, DIRECTIONS)
        faults.raise_if_any()


@dataclass(frozen=True)
class Melt:
    """MELT: every batch holds samples of all modalities, tied by one location encoder."""

    quotas: tuple[int, ...] = ()
    """Samples of each modality in a joint batch, in the order of the modalities; they must sum to
    batch_size. Empty: equal shares, the first modalities taking the remainder. (The paper does not
    say how a batch is split.)"""
    negatives: Literal["joint", "within"] = "joint"
    """Negatives of a sample: every other location of the joint batch, or only those of its own
    modality. (The paper's one loss over the joint batch reads as "joint".)"""
    direction: Direction = "sample_to_location"
    """Each sample finds its location, or the mean of that and the reverse."""
    reduction: Literal["samples", "modalities"] = "samples"
    """Mean over the samples of the joint batch, or over the modalities' own means; they differ
    only where quotas do."""
    weights: tuple[float, ...] = ()
    """Weight of each modality in that mean, in the order of the modalities. Empty: 1 each."""
    temperature: Literal["shared", "per_modality"] = "shared"
    """One learnable logit scale, or one for each modality."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("method", self)
        faults.expect(all(q > 0 for q in self.quotas), "quotas", self.quotas, "positive counts")
        fine = all(weight > 0 for weight in self.weights)
        faults.expect(fine, "weights", self.weights, "positive numbers")
        faults.one_of("negatives", self.negatives, ("joint", "within"))
        faults.one_of("direction", self.direction, DIRECTIONS)
        faults.one_of("reduction", self.reduction, ("samples", "modalities"))
        faults.one_of("temperature", self.temperature, ("shared", "per_modality"))
        faults.raise_if_any()


@dataclass(frozen=True)
class Salt:
    """SALT: one modality–location pair is active at a time; the location encoder always trains."""

    phase_epochs: int = 1
    """Epochs of a modality's own data before the next modality takes over."""
    order: Literal["cyclic", "shuffled"] = "cyclic"
    """Modalities take turns in the order listed, or in a new seeded order each round."""
    direction: Direction = "sample_to_location"
    """Each sample finds its location, or the mean of that and the reverse."""
    temperature: Literal["shared", "per_modality"] = "shared"
    """One learnable logit scale, or one for each modality (the idle ones stay still)."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("method", self)
        faults.at_least("phase_epochs", self.phase_epochs, 1)
        faults.one_of("order", self.order, ("cyclic", "shuffled"))
        faults.one_of("direction", self.direction, DIRECTIONS)
        faults.one_of("temperature", self.temperature, ("shared", "per_modality"))
        faults.raise_if_any()


Method: TypeAlias = Pair | Melt | Salt
