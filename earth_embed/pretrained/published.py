"""What an importer makes of a file: a location encoder with its weights and its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from earth_embed.config import Experiment


@dataclass(frozen=True)
class Published:
    """A location encoder that was trained elsewhere.

    Attributes:
        summary: What was read, in a few words.
        experiment: Its settings, the data and the loss that trained it. Fields that only training
            reads, and that a file of weights does not hold, have this project's defaults.
        params: The location encoder's parameters.
    """

    summary: str
    experiment: Experiment
    params: dict[str, Any]

    @property
    def parameters(self) -> int:
        """Their number, those that never train among them."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))
