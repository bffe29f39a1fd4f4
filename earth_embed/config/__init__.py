"""What a run computes, as frozen dataclasses and their files."""

from earth_embed.config.experiment import (
    Checkpoints,
    Experiment,
    Input,
    LocationConfig,
    LogitScale,
    Modality,
    Optimizer,
)
from earth_embed.config.methods import Melt, Method, Pair, Salt

__all__ = [
    "Checkpoints",
    "Experiment",
    "Input",
    "LocationConfig",
    "LogitScale",
    "Melt",
    "Method",
    "Modality",
    "Optimizer",
    "Pair",
    "Salt",
]
