import dataclasses

import numpy as np
import pytest

from earth_embed.config import Cartesian, Concatenation, Linear, LocationConfig, SphericalHarmonics
from earth_embed.evaluation.run import baselines
from earth_embed.training.run_dir import open_run
from tests.conftest import random_places
from tests.training.runs import SMALL


@pytest.mark.parametrize(
    ("encoding", "degree"),
    [
        (Concatenation((SphericalHarmonics(3), SphericalHarmonics(6), Cartesian())), 6),
        (SphericalHarmonics(45), 40),  # more features than a regression can use
        (Cartesian(), 15),
    ],
)
def test_harmonics_are_of_the_run_s_own_degree(encoding, degree, tmp_path, rng):
    location = LocationConfig(encoding, Linear(), features=4)
    open_run(tmp_path / "run", dataclasses.replace(SMALL, location=location))
    found = baselines(tmp_path / "run", random_places(rng, 9))
    shapes = {name: values.shape for name, values in found.items()}
    assert shapes == {
        "unit vector": (9, 3),
        f"harmonics L={degree}": (9, degree**2),
        "untrained encoder": (9, 4),
    }
    assert all(values.dtype == np.float32 for values in found.values())
