"""Everything an experiment file needs: frozen dataclasses that validate themselves.

Settings of the location encoder live beside the modules they configure, in `encoders`, and are
re-exported here.
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
from earth_embed.encoders.networks import *  # noqa: F403 (so a new network needs no line here)
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
