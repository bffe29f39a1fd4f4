"""What a diagnosis found, as it is written and shown."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earth_embed.diagnosis.conflict import Conflict
from earth_embed.diagnosis.settings import Settings
from earth_embed.diagnosis.spatial import Curve
from earth_embed.files import write_text
from earth_embed.versions import package_versions


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
