"""SALT on two modalities: images and place names take turns."""

import dataclasses

from quickstart import IMAGE, TEXT, experiment

from earth_embed.config import Salt

experiment = dataclasses.replace(
    experiment, name="salt_two", method=Salt(), modalities=(IMAGE, TEXT)
)
