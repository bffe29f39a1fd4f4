"""A finished run, to damage and to look at."""

import pytest

from earth_embed.training.loop import train
from tests.training.runs import SMALL, checkpoint_steps


@pytest.fixture(scope="module")
def finished(sources, tmp_path_factory):
    """A run with checkpoints of steps 2 and 4."""
    run = tmp_path_factory.mktemp("finished") / "run"
    train(SMALL, run, sources)
    assert checkpoint_steps(run) == ["2", "4"]
    return run
