"""The quickstart and its variants."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from earth_embed.config import Experiment, LocationConfig, Siren
from earth_embed.config.files import load_experiment
from earth_embed.data.sources import ArraySource
from earth_embed.step.towers import Towers
from tests.conftest import random_places
from tests.methods.setup import Setup

FOLDER = Path(__file__).parents[2] / "experiments"
VARIANTS = ("pair_image", "pair_text", "pair_turbidity", "melt_two", "salt_two", "salt_three")
EXPERIMENTS = {
    "quickstart": f"{FOLDER}/quickstart.py",
    **{name: f"{FOLDER}/quickstart_variants.py:{name}" for name in VARIANTS},
}


class Splits:
    """Random samples of the shape that an encoder expects."""

    def __init__(self, modality):
        rng = np.random.default_rng(0)
        shape, kind = {
            "image": ((32, 32, 3), np.uint8),
            "text": ((modality.text_bytes,), np.uint8),
            "series": ((12,), np.float32),
        }[modality.encoder]
        samples = rng.integers(0, 256, (32, *shape)).astype(kind)
        self.train = ArraySource(samples, random_places(rng, 32))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_loads_and_takes_a_step(name):
    experiment = load_experiment(EXPERIMENTS[name])
    assert isinstance(experiment, Experiment)
    assert experiment.name == name
    Towers(experiment)
    small = dataclasses.replace(
        experiment,
        batch_size=12,
        location=LocationConfig(experiment.location.encoding, Siren((8,)), features=8),
        modalities=tuple(dataclasses.replace(m, width=8, depth=1) for m in experiment.modalities),
        input=dataclasses.replace(experiment.input, loader="python"),
    )
    setup = Setup(small, {m.name: Splits(m) for m in small.modalities}, jax.devices()[:1])
    _, metrics = setup.step(setup.state, next(setup.feed(0, 1)).batch)
    assert np.isfinite(float(metrics["loss"]))
