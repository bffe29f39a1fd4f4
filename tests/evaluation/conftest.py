"""The small world, and runs that stand in for trained ones."""

import numpy as np
import pytest

from earth_embed.config import Experiment, Modality, Pair
from earth_embed.coordinates import unit_vector
from earth_embed.evaluation import run

from .worlds import world


@pytest.fixture(scope="session")
def labels():
    return world()


class StandInEncoder:
    """The unit vector, raised to a power that stands for training."""

    def __init__(self, name, layers=(), power=1):
        image = Modality("image", "blue_marble", "image", geo_layers=layers)
        self.experiment = Experiment(name, (image,), method=Pair())
        self.power = power

    def __call__(self, lonlat):
        return (unit_vector(lonlat) ** self.power).astype(np.float32)


@pytest.fixture
def stand_ins(monkeypatch, labels, tmp_path):
    """Runs are folders; the encoders in them are unit vectors; the labels are the small world."""
    encoders = {
        "a": StandInEncoder("a"),
        "b": StandInEncoder("b", power=2),
        "leaky": StandInEncoder("leaky", layers=("relief",)),
    }
    for name in encoders:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(run, "load", lambda folder, which, unverified: encoders[folder.name])
    monkeypatch.setattr(run, "load_labels", lambda split, config, data_dir: labels)
    monkeypatch.setattr(run, "untrained", lambda folder: StandInEncoder("u", power=3))
    return tmp_path
