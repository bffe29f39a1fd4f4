"""MELT on two modalities: images and place names."""

import dataclasses

from quickstart import IMAGE, TEXT, experiment

from earth_embed.config import Melt

experiment = dataclasses.replace(
    experiment, name="melt_two", method=Melt(), modalities=(IMAGE, TEXT)
)
