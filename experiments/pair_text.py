"""One modality: place names and their locations."""

import dataclasses

from quickstart import TEXT, experiment

from earth_embed.config import Pair

experiment = dataclasses.replace(experiment, name="pair_text", method=Pair(), modalities=(TEXT,))
