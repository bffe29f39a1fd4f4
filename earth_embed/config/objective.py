"""What training optimises: the method, the loss, and how a large batch is computed.

MELT and SALT follow "Multi-Modal Contrastive Learning for Implicit Earth Embeddings via Location
Tying" (arXiv 2606.20167); where the paper leaves a choice open, the default is documented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from earth_embed.checks import Checked, Checks

Direction: TypeAlias = Literal["sample_to_location", "symmetric"]


@dataclass(frozen=True)
class Pair(Checked, owner="method"):
    """Pair: one modality and its locations, as in SatCLIP and GeoCLIP."""

    direction: Direction = "sample_to_location"
    """Whether each sample must pick its location, or also each location its sample ("symmetric":
    the mean of both losses)."""


@dataclass(frozen=True)
class Melt(Checked, owner="method"):
    """MELT: every batch holds samples of all modalities, tied by one location encoder."""

    quotas: tuple[int, ...] = ()
    """Samples of each modality per batch, in the order of the modalities, with sum batch_size.
    Empty: equal shares; the first modalities take the remainder. (The paper does not say.)"""
    negatives: Literal["joint", "within"] = "joint"
    """Negatives of a sample: all other locations in the batch ("joint"), or only those of its own
    modality ("within"). (The paper's single loss over the joint batch suggests "joint".)"""
    direction: Direction = "sample_to_location"
    """Whether each sample must pick its location, or also each location its sample ("symmetric":
    the mean of both losses)."""
    reduction: Literal["samples", "modalities"] = "samples"
    """The loss is the mean over all samples, or the mean of the modalities' means. The two differ
    only if quotas do."""
    weights: tuple[float, ...] = ()
    """Weight of each modality in that mean, in the order of the modalities. Empty: 1 each."""
    temperature: Literal["shared", "per_modality"] = "shared"
    """One temperature for all modalities, or one for each."""

    def _check(self, checks: Checks) -> None:
        checks.expect(all(q > 0 for q in self.quotas), "quotas", self.quotas, "positive counts")
        fine = all(weight > 0 for weight in self.weights)
        checks.expect(fine, "weights", self.weights, "positive numbers")


@dataclass(frozen=True)
class Salt(Checked, owner="method"):
    """SALT: one modality is active at a time; the location encoder trains throughout."""

    phase_epochs: int = 1
    """Epochs over a modality's data before the next modality takes over."""
    order: Literal["cyclic", "shuffled"] = "cyclic"
    """Modalities take turns in the order listed ("cyclic"), or in a new random order each round."""
    direction: Direction = "sample_to_location"
    """Whether each sample must pick its location, or also each location its sample ("symmetric":
    the mean of both losses)."""
    temperature: Literal["shared", "per_modality"] = "shared"
    """One temperature for all modalities, or one for each, which trains only while its modality is
    active."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("phase_epochs", self.phase_epochs, 1)


Method: TypeAlias = Pair | Melt | Salt

Exchange: TypeAlias = Literal["gather", "ring"]


@dataclass(frozen=True)
class NtXent:
    """The normalised temperature-scaled cross-entropy (SimCLR, CLIP, SatCLIP; MELT and SALT)."""


@dataclass(frozen=True)
class Sigmoid(Checked, owner="loss"):
    """SigLIP (arXiv 2303.15343): a binary decision for every sample–location pair of the batch.

    Logits are exp(s)·cosine + b. SigLIP starts at exp(s) = 10, which is
    LogitScale(temperature=0.1). The loss is symmetric by itself: leave the method's `direction` at
    "sample_to_location".
    """

    bias: float = -10.0
    """Initial value of the learnable bias b (SigLIP: −10, since nearly all pairs are negatives)."""


@dataclass(frozen=True)
class GeodesicNtXent(Checked, owner="loss"):
    """NT-Xent in which nearby locations, which look alike, are weak negatives or none.

    An option of this project, not of the paper. With bandwidth_km → 0 it becomes NT-Xent.
    """

    bandwidth_km: float = 100.0
    """Length scale h in km of great-circle distance d: the Gaussian's standard deviation, or the
    semivariogram's range."""
    weighting: Literal["soft_targets", "semivariogram"] = "soft_targets"
    """"soft_targets": the target is spread over nearby locations in proportion to exp(−d²/2h²).
    "semivariogram": negatives are weighted by 1 − exp(−d/h) in the denominator."""

    def _check(self, checks: Checks) -> None:
        checks.positive("bandwidth_km", self.bandwidth_km)


@dataclass(frozen=True)
class Regression:
    """No contrast: the mean squared error of features predicted from the location alone.

    For modalities with encoder "target", as a baseline that shows what contrast itself is worth.
    With standardised features, the loss is the fraction of variance left unexplained.
    """


Loss: TypeAlias = NtXent | Sigmoid | GeodesicNtXent | Regression


@dataclass(frozen=True)
class Memory(Checked, owner="memory"):
    """How to compute a batch that does not fit in memory at once. The result stays exact."""

    tile: int = 0
    """Side of the tiles in which the similarity matrix is computed. 0: automatic (the whole matrix
    if it is small). The batch size or more: the whole matrix."""
    exchange: Exchange = "gather"
    """How devices exchange embeddings for a tiled loss: "gather" puts all of them on every device,
    "ring" passes them around, so that no device holds all."""
    microbatch: int = 0
    """Samples encoded at once; activations are recomputed for the gradient (GradCache, arXiv
    2101.06983). It must divide every modality's part of the batch and be a multiple of the number
    of devices. 0: the whole batch. Dropout masks differ from those of the whole batch."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("tile", self.tile, 0)
        checks.at_least("microbatch", self.microbatch, 0)
