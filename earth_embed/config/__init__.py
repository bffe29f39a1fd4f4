"""What a run computes, as frozen dataclasses and their files."""

from earth_embed.config.experiment import Experiment
from earth_embed.config.methods import Melt, Method, Pair, Salt
from earth_embed.config.model import LocationConfig, LogitScale, Modality
from earth_embed.config.training import Checkpoints, Input, Optimizer

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
