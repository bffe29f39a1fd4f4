"""Settings of the three training methods, with a documented default for what the paper leaves open.

Paper: "Multi-Modal Contrastive Learning for Implicit Earth Embeddings via Location Tying",
arXiv 2606.20167.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from earth_embed.errors import Checked, Checks

Direction: TypeAlias = Literal["sample_to_location", "symmetric"]


@dataclass(frozen=True)
class Pair(Checked, owner="method"):
    """One modality and its locations, as in SatCLIP and GeoCLIP."""

    direction: Direction = "sample_to_location"
    """Each sample finds its location, or the mean of that and the reverse."""


@dataclass(frozen=True)
class Melt(Checked, owner="method"):
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

    def _check(self, checks: Checks) -> None:
        checks.expect(all(q > 0 for q in self.quotas), "quotas", self.quotas, "positive counts")
        fine = all(weight > 0 for weight in self.weights)
        checks.expect(fine, "weights", self.weights, "positive numbers")


@dataclass(frozen=True)
class Salt(Checked, owner="method"):
    """SALT: one modality–location pair is active at a time; the location encoder always trains."""

    phase_epochs: int = 1
    """Epochs of a modality's own data before the next modality takes over."""
    order: Literal["cyclic", "shuffled"] = "cyclic"
    """Modalities take turns in the order listed, or in a new seeded order each round."""
    direction: Direction = "sample_to_location"
    """Each sample finds its location, or the mean of that and the reverse."""
    temperature: Literal["shared", "per_modality"] = "shared"
    """One learnable logit scale, or one for each modality (the idle ones stay still)."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("phase_epochs", self.phase_epochs, 1)


Method: TypeAlias = Pair | Melt | Salt

Weighting: TypeAlias = Literal["soft_targets", "semivariogram"]

Exchange: TypeAlias = Literal["gather", "ring"]


@dataclass(frozen=True)
class NtXent:
    """The normalised temperature-scaled cross-entropy (SimCLR, CLIP, SatCLIP; MELT and SALT)."""


@dataclass(frozen=True)
class Sigmoid(Checked, owner="loss"):
    """SigLIP (arXiv 2303.15343): every pair of the batch is a binary decision of its own.

    Its logits are exp(s)·cosine + b. The paper starts from exp(s) = 10, that is
    LogitScale(temperature=0.1). It is symmetric as it is, so a method's `direction` stays
    "sample_to_location".
    """

    bias: float = -10.0
    """Initial value of the learnable bias b (the paper: −10, as nearly all pairs are negatives)."""


@dataclass(frozen=True)
class GeodesicNtXent(Checked, owner="loss"):
    """NT-Xent that knows how far apart places are: near ones are no negatives, or weak ones.

    An option of this project, not of the paper's. As bandwidth_km → 0 it becomes NT-Xent.
    """

    bandwidth_km: float = 100.0
    """Soft targets: standard deviation of the Gaussian in great-circle distance. Semivariogram:
    range of the exponential model."""
    weighting: Weighting = "soft_targets"
    """"soft_targets": the target is spread over near places, by the Gaussian. "semivariogram":
    negatives weigh γ(d) = 1 − exp(−d/range) in the denominator."""

    def _check(self, checks: Checks) -> None:
        checks.positive("bandwidth_km", self.bandwidth_km)


@dataclass(frozen=True)
class Regression:
    """No contrast: the squared error of features that are predicted from the location alone.

    The twin of a contrastive loss on frozen targets, to tell what contrast itself is worth. For
    modalities whose encoder is "target". The error is the mean over features: of standardised ones
    it is the share of their variance left unexplained.
    """


Loss: TypeAlias = NtXent | Sigmoid | GeodesicNtXent | Regression


@dataclass(frozen=True)
class Memory(Checked, owner="memory"):
    """How a batch larger than memory is computed: exactly, in parts."""

    tile: int = 0
    """Rows and columns of the similarity matrix that exist at once. 0: chosen automatically, the
    whole matrix where it is small. At least the batch: always the whole matrix."""
    exchange: Exchange = "gather"
    """How devices see each other's embeddings in a tiled loss: each "gather"s them all, or they go
    round in a "ring", which needs no device to hold them all."""
    microbatch: int = 0
    """Samples that the encoders see at once; their activations are computed again for the gradient
    (GradCache, arXiv 2101.06983). It must divide every modality's part of the batch, and the
    devices must divide it. 0: the whole batch. With dropout, the masks differ from those of the
    whole batch."""

    def _check(self, checks: Checks) -> None:
        checks.at_least("tile", self.tile, 0)
        checks.at_least("microbatch", self.microbatch, 0)
