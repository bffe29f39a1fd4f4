"""Whatever damages a run: the right numbers, older ones with a warning, or one error."""

import shutil
import warnings

import jax
import numpy as np
import pytest

from earth_embed.errors import EarthEmbedError, FaultWarning
from earth_embed.pretrained.encoder import load
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.loop import train
from tests.conftest import random_places
from tests.damage import damages, do_damage
from tests.fuzzing import fuzz
from tests.training.runs import SMALL, checkpoint_steps, state_like


@pytest.fixture(scope="module")
def finished(sources, tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    train(SMALL, run, sources)
    assert checkpoint_steps(run) == ["2", "4"]
    return run


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def embed(finished):
    """Embeds fixed places with any parameters of the run's encoder, compiled once."""
    encoder, places = load(finished), random_places(np.random.default_rng(0), 8).astype(np.float32)
    return lambda params: np.asarray(encoder._apply(params, places))


@pytest.fixture(scope="module")
def states(sources, finished):
    """The true states of steps 2 and 4, without warnings."""
    like = state_like(SMALL, sources)
    older = shutil.copytree(finished, finished.with_name("older"))
    shutil.rmtree(older / "checkpoints" / "4")
    (older / "checkpoints.sha256" / "4.json").unlink()
    restored = [Checkpointer(run).restore_state(like) for run in (older, finished)]
    return {int(state.step): state for state in restored}


def outcome(restore):
    """What was restored, or None after one error in plain words; and whether there was a warning.

    Raises:
        Exception: any other than an EarthEmbedError.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            restored = restore()
        except EarthEmbedError:
            return None, True
    assert {warning.category for warning in caught} <= {FaultWarning}
    return restored, bool(caught)


@fuzz(200, damage=damages())
def test_a_damaged_run_never_gives_other_embeddings(damage, finished, copies, states, embed):
    run = shutil.copytree(finished, copies / "run", dirs_exist_ok=True)
    try:
        done = do_damage(run, damage)
        encoder, told = outcome(lambda: load(run, "last" if damage[0][1] % 2 else "best"))
    finally:
        shutil.rmtree(run)
    if encoder is None:
        return
    assert encoder.experiment == SMALL, done
    found = embed(encoder._params)
    steps = [
        step
        for step, state in states.items()
        if np.array_equal(found, embed(jax.device_get(state.params["location"])))
    ]
    assert 4 in steps or (told and steps), done
