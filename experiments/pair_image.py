"""One modality: Blue Marble patches and their locations, as SatCLIP has it."""

import dataclasses

from quickstart import IMAGE, experiment

from earth_embed.config import Pair

experiment = dataclasses.replace(experiment, name="pair_image", method=Pair(), modalities=(IMAGE,))
