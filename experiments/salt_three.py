"""SALT on three modalities, which take turns."""

import dataclasses

from quickstart import IMAGE, TEXT, TURBIDITY, experiment

from earth_embed.config import Salt

experiment = dataclasses.replace(
    experiment, name="salt_three", method=Salt(), modalities=(IMAGE, TEXT, TURBIDITY)
)
