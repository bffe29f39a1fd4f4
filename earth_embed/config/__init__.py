"""What a run computes, as frozen dataclasses and their files."""

from earth_embed.config.experiment import Experiment
from earth_embed.config.location import Combined, Location, LocationConfig
from earth_embed.config.location.encodings import (
    Cartesian,
    Concatenation,
    Encoding,
    EqualEarth,
    EqualEarthFourier,
    HashGrid,
    Space2Vec,
    Sphere2Vec,
    SphereFourier,
    SphericalHarmonics,
    SphericalVoronoi,
    Wrap,
)
from earth_embed.config.location.networks import (
    Linear,
    Mlp,
    Network,
    ResidualMlp,
    ResidualSiren,
    Siren,
    TokenTransformer,
)
from earth_embed.config.loss import (
    GeodesicNtXent,
    Loss,
    Memory,
    NtXent,
    Regression,
    Sigmoid,
)
from earth_embed.config.methods import Melt, Method, Pair, Salt
from earth_embed.config.model import LogitScale, Modality
from earth_embed.config.training import Checkpoints, Input, MeshConfig, Optimizer

__all__ = [
    "Cartesian",
    "Checkpoints",
    "Combined",
    "Concatenation",
    "Encoding",
    "EqualEarth",
    "EqualEarthFourier",
    "Experiment",
    "GeodesicNtXent",
    "HashGrid",
    "Input",
    "Linear",
    "Location",
    "LocationConfig",
    "LogitScale",
    "Loss",
    "Melt",
    "Memory",
    "MeshConfig",
    "Method",
    "Mlp",
    "Modality",
    "Network",
    "NtXent",
    "Optimizer",
    "Pair",
    "Regression",
    "ResidualMlp",
    "ResidualSiren",
    "Salt",
    "Sigmoid",
    "Siren",
    "Space2Vec",
    "Sphere2Vec",
    "SphereFourier",
    "SphericalHarmonics",
    "SphericalVoronoi",
    "TokenTransformer",
    "Wrap",
]
