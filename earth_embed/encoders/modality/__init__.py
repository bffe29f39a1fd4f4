"""What turns a sample into an embedding: one file a modality, and the registry."""

from earth_embed.encoders.modality.image import ImageTower
from earth_embed.encoders.modality.projection import ProjectionTower
from earth_embed.encoders.modality.registry import Tower, build, register
from earth_embed.encoders.modality.series import SeriesTower
from earth_embed.encoders.modality.target import TargetTower
from earth_embed.encoders.modality.text import TextTower

__all__ = [
    "ImageTower",
    "ProjectionTower",
    "SeriesTower",
    "TargetTower",
    "TextTower",
    "Tower",
    "build",
    "register",
]
