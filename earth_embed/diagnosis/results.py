"""What a diagnosis found, as it is written and shown."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earth_embed.diagnosis.geometry import Curve
from earth_embed.diagnosis.limits import Conflict
from earth_embed.errors import Checks
from earth_embed.files import write_text
from earth_embed.training.run_dir import package_versions


@dataclass(frozen=True)
class Settings:
    """How much is looked at. The defaults end in about a minute on two CPU cores."""

    examples: int = 1024
    """Examples of each modality, held out and of the training set; fewer where there are fewer."""
    ks: tuple[int, ...] = (1, 10, 100)
    """The k of retrieval@k."""
    oracle_steps: int = 300
    """Steps in which the oracle's free embeddings are trained."""
    oracle_rate: float = 0.01
    """Learning rate of the oracle (Adam), decayed to 0 by a cosine."""
    batches: int = 8
    """Training batches over which the gradients' cosines are averaged."""
    seed: int = 0
    """Which examples are drawn."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Checks("diagnosis", self)
        faults.at_least("examples", self.examples, 16)
        good = bool(self.ks) and all(k >= 1 for k in self.ks) and sorted(set(self.ks)) == [*self.ks]
        faults.expect(good, "ks", self.ks, "rising whole numbers ≥ 1")
        faults.at_least("oracle_steps", self.oracle_steps, 1)
        faults.positive("oracle_rate", self.oracle_rate)
        faults.at_least("batches", self.batches, 1)
        faults.at_least("seed", self.seed, 0)
        faults.raise_if_any()


@dataclass(frozen=True)
class OfModality:
    """One modality and the locations of its examples."""

    held_out: int
    """Held-out examples that were looked at."""
    alignment: float
    """See `geometry.alignment`; this and what follows on held-out examples."""
    uniformity_samples: float
    """See `geometry.uniformity`."""
    uniformity_locations: float
    """The same of the locations."""
    to_location: dict[int, float]
    """Retrieval@k, sample → location."""
    to_sample: dict[int, float]
    """Retrieval@k, location → sample."""
    trained_on: int
    """Training examples that were looked at."""
    loss: float
    """Asymmetric NT-Xent within the modality, on these training examples as one batch."""
    floor: float
    """The oracle's loss on them."""
    encoder_share: float
    """1 − floor/loss."""


@dataclass(frozen=True)
class Between:
    """Two modalities of different places, which only the location encoder ties."""

    query: str
    """The modality whose samples ask."""
    candidate: str
    """The modality whose samples answer; right is the one of the nearest place."""
    nearest_km: float
    """Median distance to that place."""
    found: dict[int, float]
    """Retrieval@k."""
    chance: dict[int, float]
    """Retrieval@k of a guess."""


@dataclass(frozen=True)
class Locations:
    """The location embeddings at all held-out places together."""

    places: int
    """How many there are."""
    effective_rank: float
    """See `geometry.effective_rank`."""
    intrinsic_dimension: float
    """See `geometry.intrinsic_dimension`."""
    similarity: Curve
    """See `spatial.similarity_by_distance`."""


@dataclass(frozen=True)
class Diagnosis:
    """All that was found."""

    run: str
    """Name of the run's directory."""
    step: int
    """Step of the checkpoint that was looked at."""
    settings: Settings
    """What was looked at."""
    modalities: dict[str, OfModality]
    """By name."""
    between: tuple[Between, ...]
    """Every ordered pair of modalities."""
    locations: Locations
    """Of all modalities."""
    gradients: Conflict
    """In the location encoder."""
    versions: dict[str, str] = field(default_factory=package_versions)
    """Of the packages that computed it."""

    def save(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all."""
        write_text(path, json.dumps(self.as_dict(), indent=1) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        values = dataclasses.asdict(self)
        values["locations"]["similarity"] = self.locations.similarity._asdict()
        values["gradients"] = self.gradients._asdict()
        return values
