"""How many views of each sample a feature cache holds, and how they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

from earth_embed.config.checks import Faults

SMALLEST_BLUR = 0.1
"""Smallest σ of a blur, pixels (SimCLR's)."""
HALF_CIRCUMFERENCE_M = 20_015_114.0
"""From a point to its antipode, metres."""


@dataclass(frozen=True)
class ViewSettings:
    """The first view is the sample and its place as they are; the others are drawn."""

    views: int = 1
    """Views K of each sample: the plain one and K − 1 augmented ones."""
    jitter_m: float = 0.0
    """Radius in metres of the disc in which an augmented view's place is drawn uniformly."""
    crop: float = 0.2
    """Smallest part of an image's area that a random resized crop keeps; 1 keeps all."""
    flips: bool = True
    """Mirror images, left to right and top to bottom, each with probability ½."""
    blur: float = 2.0
    """Largest σ in pixels of the Gaussian blur of every second image; 0 blurs none."""
    seed: int = 0
    """What all of it is drawn from, with the row and the view."""

    def __post_init__(self) -> None:
        """Checks the fields."""
        faults = Faults("the views", self)
        faults.at_least("views", self.views, 1)
        faults.at_least("seed", self.seed, 0)
        faults.expect(
            0 <= self.jitter_m <= HALF_CIRCUMFERENCE_M,
            "jitter_m",
            self.jitter_m,
            f"0 … {HALF_CIRCUMFERENCE_M:.0f} metres",
        )
        faults.expect(
            self.views > 1 or not self.jitter_m,
            "views",
            self.views,
            f"at least 2, since jitter_m = {self.jitter_m} moves the augmented views alone",
        )
        faults.expect(0 < self.crop <= 1, "crop", self.crop, "a part of the area in (0, 1]")
        faults.expect(
            self.blur == 0 or SMALLEST_BLUR <= self.blur < math.inf,
            "blur",
            self.blur,
            f"0, or σ ≥ {SMALLEST_BLUR} pixels",
        )
        faults.expect(
            self.views == 1 or self.jitter_m > 0 or self.crop < 1 or self.flips or self.blur > 0,
            "views",
            self.views,
            "1, as all views would be the same",
        )
        faults.raise_if_any()
