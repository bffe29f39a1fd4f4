"""What a run computes: frozen, validated dataclasses and the files that hold them.

Every name that an experiment needs is here, the location encoder's settings too, which stand beside
the code that they set. Nothing is computed or read here but experiment files.
"""

from earth_embed.config.experiment import Experiment, LogitScale, Modality
from earth_embed.config.objective import (
    GeodesicNtXent,
    Loss,
    Melt,
    Memory,
    Method,
    NtXent,
    Pair,
    Regression,
    Salt,
    Sigmoid,
)
from earth_embed.config.training import Checkpoints, Input, MeshConfig, Optimizer
from earth_embed.encoders import networks, positional, published
from earth_embed.encoders.location import Combined, Location, LocationConfig
from earth_embed.encoders.networks import *  # noqa: F403 (a new one needs no line here)
from earth_embed.encoders.positional import *  # noqa: F403

__all__ = [
    "Checkpoints",
    "Combined",
    "Experiment",
    "GeodesicNtXent",
    "Input",
    "Location",
    "LocationConfig",
    "LogitScale",
    "Loss",
    "Melt",
    "Memory",
    "MeshConfig",
    "Method",
    "Modality",
    "NtXent",
    "Optimizer",
    "Pair",
    "Regression",
    "Salt",
    "Sigmoid",
    "published",
]
__all__ += networks.__all__
__all__ += positional.__all__
