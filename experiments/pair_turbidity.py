"""One modality: twelve months of atmospheric turbidity and their locations."""

import dataclasses

from quickstart import TURBIDITY, experiment

from earth_embed.config import Pair

experiment = dataclasses.replace(
    experiment, name="pair_turbidity", method=Pair(), modalities=(TURBIDITY,)
)
