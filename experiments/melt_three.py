"""MELT on three modalities: the quickstart under the name that the comparison uses."""

import dataclasses

from quickstart import IMAGE, TEXT, TURBIDITY, experiment

from earth_embed.config import Melt

experiment = dataclasses.replace(
    experiment, name="melt_three", method=Melt(), modalities=(IMAGE, TEXT, TURBIDITY)
)
