"""Steps that are not finite: the first one is named exactly, and nothing of it enters the run."""

import dataclasses
import math

import numpy as np
import pytest

from earth_embed.config import Checkpoints, Optimizer
from earth_embed.data.order import batch_indices, steps_per_epoch
from earth_embed.errors import FaultWarning, RunError
from earth_embed.hashing import hash_string
from earth_embed.training import stopping
from earth_embed.training.loop import train
from tests.methods.setup import Setup
from tests.training.runs import assert_same_state, checkpoint_steps, metrics

BAD, STEPS = 77, 12
NAMES = {"pair": ("series",), "melt": ("series", "text"), "salt": ("text", "series")}


class Poisoned:
    """A source in which some samples are not finite."""

    def __init__(self, source, bad, value):
        self.source, self.bad, self.value = source, bad, value

    def __len__(self):
        return len(self.source)

    def gather(self, indices):
        examples = self.source.gather(indices)
        sample = examples["sample"].copy()
        sample[np.isin(indices, self.bad), 3] = self.value
        return examples | {"sample": sample}


def poisoned(sources, bad=(BAD,), value=np.nan):
    series = sources["series"]
    return sources | {"series": series._replace(train=Poisoned(series.train, bad, value))}


@pytest.fixture(params=["pair", "melt", "salt"])
def experiment(request, make_experiment):
    """Reads its metrics and saves at other steps than the one that is not finite."""
    checkpoints = Checkpoints(
        save_every=5, keep=9, validate_every=5, log_every=12, validation_examples=16
    )
    names = NAMES[request.param]
    return make_experiment(
        request.param, names, checkpoints=checkpoints, steps=STEPS, batch_size=32
    )


def read_at(experiment, sources):
    """The steps, counted from 1, that read example BAD of the series, and its batch's identity."""
    draws, count = Setup(experiment, sources).method.draws, len(sources["series"].train)
    found = {}
    for step in range(experiment.steps):
        draw = draws(step).get("series")
        if draw is None:
            continue
        seed = experiment.seed ^ hash_string("series")
        indices = batch_indices(count, draw.size, seed, draw.batch)
        if BAD in indices:
            each = steps_per_epoch(count, draw.size)
            epoch, number = divmod(draw.batch, each)
            first = ", ".join(map(str, indices[:5]))
            found[step + 1] = (
                f"series, batch {number + 1} of {each} in epoch {epoch + 1}, examples {first}, …, "
                f"of which not finite: {BAD}"
            )
    return found


def skipping(experiment):
    return dataclasses.replace(experiment, optimizer=Optimizer(not_finite="skip"))


def test_a_skipped_step_leaves_the_state_as_it_was(experiment, sources, tmp_path):
    at = read_at(experiment, sources)
    setup = Setup(experiment, sources)
    for step, fed in enumerate(setup.feed(0, STEPS), 1):
        if step in at:
            setup.state = setup.state.replace(step=setup.state.step + 1)
        else:
            setup.state, _ = setup.step(setup.state, fed.batch)

    with pytest.warns(FaultWarning) as told:
        state = train(skipping(experiment), tmp_path, poisoned(sources))
    assert_same_state(state, setup.state)
    messages = [str(warning.message) for warning in told]
    assert [int(message.split()[1]) for message in messages] == list(at)
    for message, batch in zip(messages, at.values(), strict=True):
        assert batch in message
        assert message.endswith(". It is skipped")
    lines = metrics(tmp_path)
    skipped = [line for line in lines if "skipped_steps" in line]
    assert skipped == [{"step": step, "skipped_steps": count} for count, step in enumerate(at, 1)]
    assert all(math.isfinite(value) for line in lines for value in line.values())


@pytest.mark.parametrize("experiment", ["salt"], indirect=True)
def test_a_run_stops_at_the_first_and_may_go_on_without_it(experiment, sources, tmp_path):
    at, bad = read_at(experiment, sources), poisoned(sources, value=np.inf)
    first = min(at)
    assert first > 5, "a seed with which a checkpoint comes before it"
    with pytest.raises(RunError) as caught:
        train(experiment, tmp_path / "stopped", bad)
    message = str(caught.value)
    start = f"step {first} is not finite: loss nan, gradient norm nan. Its batch: {at[first]}. "
    assert message.startswith(start)
    saved = (first - 1) // 5 * 5
    folder = tmp_path / "stopped" / "checkpoints" / str(saved)
    assert f"the last good checkpoint is that of step {saved}, {folder}." in message
    assert str(max(map(int, checkpoint_steps(tmp_path / "stopped")))) == str(saved)

    with pytest.warns(FaultWarning, match="It is skipped"):
        again = train(skipping(experiment), tmp_path / "stopped", bad)
    with pytest.warns(FaultWarning, match="It is skipped"):
        whole = train(skipping(experiment), tmp_path / "whole", bad)
    assert_same_state(again, whole)
    assert metrics(tmp_path / "stopped") == metrics(tmp_path / "whole")


def test_a_run_that_only_skips_is_stopped(make_experiment, sources, tmp_path, monkeypatch):
    """Also if the steps in a row were not skipped by one process."""
    monkeypatch.setattr(stopping, "IN_A_ROW", 6)
    checkpoints = Checkpoints(save_every=4, validate_every=4, log_every=1, validation_examples=16)
    experiment = make_experiment(
        "pair", ("series",), checkpoints=checkpoints, optimizer=Optimizer(not_finite="skip")
    )
    bad = poisoned(sources, range(1, 128))
    for first in (1, 5):  # the second time from the checkpoint of step 4
        with (
            pytest.warns(FaultWarning) as told,
            pytest.raises(RunError, match=r"step 6 is .* the last of 6 in a row.* of step 4, "),
        ):
            train(experiment, tmp_path, bad)
        steps = [int(str(warning.message).split()[1]) for warning in told]
        assert steps == list(range(first, 6))
    assert checkpoint_steps(tmp_path) == ["4"]
