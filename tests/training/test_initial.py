"""A new run from another run's weights: what it takes, and that it resumes exactly."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from earth_embed.config import LocationConfig, LogitScale, Melt, Modality, Siren, SphericalHarmonics
from earth_embed.errors import FaultWarning, RunError
from earth_embed.step.mesh import build_mesh
from earth_embed.training import loop
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.initial import initial_weights
from earth_embed.training.loop import train
from earth_embed.training.run_dir import read_init_from
from tests.training.runs import SMALL, assert_same_state, checkpoint_steps, contents, state_like

LONGER = dataclasses.replace(SMALL, steps=6, seed=5)


@pytest.fixture(scope="module")
def other(sources, tmp_path_factory):
    run = tmp_path_factory.mktemp("other") / "run"
    return run, train(SMALL, run, sources)


def same(a, b):
    return all(
        np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.fixture
def started(monkeypatch):
    """The states that runs begin with, as the first step gets them."""
    begun, begin = [], loop.begin

    def noting(*arguments):
        begun.append(jax.device_get(state := begin(*arguments)))
        return state

    monkeypatch.setattr(loop, "begin", noting)
    return begun


def test_a_longer_run_begins_with_the_weights_and_a_fresh_optimizer_and_resumes_exactly(
    other, sources, tmp_path, started, capsys
):
    run, trained = other
    whole = train(LONGER, tmp_path / "whole", sources, init_from=run)
    [first] = started
    assert int(first.step) == 0
    assert same(first.params, jax.device_get(trained.params))
    assert all(not leaf.any() for leaf in jax.tree.leaves(first.moments))
    assert int(whole.step) == 6
    origin = read_init_from(tmp_path / "whole")
    assert (origin["run"], origin["step"]) == (str(run.resolve()), "4")
    said = "step 4: location, modality:series, logit_scale; fresh: none"
    assert said in capsys.readouterr().err
    for name, init_from in (("with", run), ("without", None)):
        again = shutil.copytree(tmp_path / "whole", tmp_path / name)
        if name == "with":
            shutil.rmtree(again / "checkpoints" / "6")
            (again / "checkpoints.sha256" / "6.json").unlink()
            assert checkpoint_steps(again) == ["4"]
        else:  # killed before the first checkpoint
            shutil.rmtree(again / "checkpoints")
            shutil.rmtree(again / "checkpoints.sha256")
        assert_same_state(train(LONGER, again, sources, init_from=init_from), whole)


def test_towers_of_other_shapes_and_names_are_fresh(other, sources, tmp_path, started, capsys):
    wider = dataclasses.replace(SMALL.modalities[0], width=16)
    image = Modality("image", "memory", "sample", "image", width=8, depth=1)
    fixed = LogitScale(temperature=0.3, learnable=False)
    two = dataclasses.replace(
        LONGER, modalities=(wider, image), method=Melt(), logit_scale=fixed, steps=1
    )
    train(two, tmp_path / "two", sources, init_from=other[0])
    [first] = started
    assert same(first.params["location"], jax.device_get(other[1].params["location"]))
    np.testing.assert_allclose(first.params["logit_scale"], np.log(1 / 0.3), rtol=1e-6)
    said = "step 4: location; fresh: logit_scale, modality:image, modality:series"
    assert said in capsys.readouterr().err


def test_another_location_encoder_is_one_error(other, sources, tmp_path):
    location = LocationConfig(SphericalHarmonics(5), Siren((16, 16)), features=8)
    experiment = dataclasses.replace(LONGER, location=location)
    message = r"another location encoder.*\n  location\.encoding\.degree: 4 → 5$"
    with pytest.raises(RunError, match=message):
        train(experiment, tmp_path / "new", sources, init_from=other[0])
    assert not (tmp_path / "new").exists()
    with pytest.raises(RunError, match="no run directory"):
        train(LONGER, tmp_path / "new", sources, init_from=tmp_path / "nowhere")


def test_a_run_that_was_begun_otherwise_is_refused(other, sources, tmp_path):
    run = shutil.copytree(other[0], tmp_path / "run")
    before = contents(run)
    with pytest.raises(RunError, match=r"was begun from no other run, not from .*other"):
        train(SMALL, run, sources, init_from=other[0])
    assert contents(run) == before
    record = json.loads((run / "run.json").read_text())
    record["init_from"] = {"run": str(other[0].resolve()), "step": "2", "sha256": "0" * 64}
    (run / "run.json").write_text(json.dumps(record))
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(RunError, match=r"weights of step 2 of .*, and found others there, of step"):
        train(SMALL, run, sources)


def test_damaged_weights_are_passed_over_as_ever(other, sources, tmp_path):
    run = shutil.copytree(other[0], tmp_path / "run")
    (run / "checkpoints.sha256" / "4.json").write_text("{}")
    with pytest.warns(FaultWarning, match="checkpoint 4 cannot be verified: .* checkpoint 2"):
        weights = initial_weights(tmp_path / "new", LONGER, run, build_mesh())
    assert weights.origin["step"] == "2"
    shutil.rmtree(run / "checkpoints" / "4")
    (run / "checkpoints.sha256" / "4.json").unlink()
    expected = Checkpointer(run).restore_state(state_like(SMALL, sources)).params
    assert same(weights.params, jax.device_get(expected))
