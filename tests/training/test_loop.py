"""The loop: interrupted runs equal uninterrupted ones, and a run's directory is never harmed."""

import dataclasses
import json
import os
import re
import shutil
import signal

import jax
import numpy as np
import pytest

from earth_embed.cells import HOLDOUT
from earth_embed.config import (
    Checkpoints,
    LocationConfig,
    Memory,
    Optimizer,
    Siren,
    SphericalHarmonics,
)
from earth_embed.config.files import load_experiment
from earth_embed.data import Splits, open_sources
from earth_embed.data.sources import ArraySource
from earth_embed.diagnosis.run import diagnose_run
from earth_embed.errors import ConfigError, DataError, FaultWarning, Interrupted, RunError
from earth_embed.pretrained.encoder import load
from earth_embed.training import loop
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.loop import train
from earth_embed.training.run_dir import locked
from tests.conftest import make_source
from tests.training.runs import (
    SMALL,
    assert_same_state,
    assert_same_update,
    checkpoint_steps,
    contents,
    metrics,
    state_like,
    write_experiment,
)


class Stopping:
    """A source that asks the process to stop when it is read for the n-th time."""

    def __init__(self, source, reads, number):
        self.source, self.reads, self.number = source, reads, number

    def __len__(self):
        return len(self.source)

    def gather(self, indices):
        self.reads -= 1
        if self.reads == 0:
            os.kill(os.getpid(), self.number)
        return self.source.gather(indices)


@pytest.mark.parametrize(
    ("method", "names", "reads", "number"),
    [
        ("pair", ("series",), 8, signal.SIGTERM),
        ("melt", ("series", "text"), 8, signal.SIGINT),
        ("salt", ("series", "text"), 6, signal.SIGTERM),
    ],
)
def test_an_interrupted_run_equals_an_uninterrupted_one(
    method, names, reads, number, make_experiment, sources, tmp_path
):
    """Parameters, moments and metrics, to the last bit; dropout and the schedule included."""
    location = LocationConfig(SphericalHarmonics(4), Siren((16, 16), dropout=0.2), features=8)
    experiment = make_experiment(method, names, steps=12, location=location)
    whole = train(experiment, tmp_path / "whole", sources)
    split = sources[names[-1]]
    stopping = split._replace(train=Stopping(split.train, reads, number))
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="the same command resumes it") as caught:
        train(experiment, tmp_path / "parts", sources | {names[-1]: stopping})
    assert handlers == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    at = int(re.search(r"stopped at step (\d+) of 12", str(caught.value))[1])
    assert 0 < at < 12
    assert checkpoint_steps(tmp_path / "parts")[-1:] == [str(at)]
    parts = train(experiment, tmp_path / "parts", sources)
    assert int(parts.step) == 12
    assert_same_state(parts, whole)
    # An interruption adds one validation, that of the checkpoint it saves.
    expected, found = metrics(tmp_path / "whole"), metrics(tmp_path / "parts")
    assert [line for line in found if line in expected] == expected
    extra = [line for line in found if line not in expected]
    assert all(line["step"] == at and "validation_loss" in line for line in extra)
    assert len(extra) == (at % 4 != 0)


def test_what_a_run_leaves(make_experiment, sources, tmp_path, monkeypatch):
    """Metrics, figures and every checkpoint as it was: the async save of a donated state."""
    saved = {}

    class Noting(Checkpointer):
        def save(self, state, score):
            saved[int(state.step)] = jax.device_get(state), score
            super().save(state, score)

    monkeypatch.setattr(loop, "Checkpointer", Noting)
    experiment = make_experiment(
        "melt",
        ("text", "series"),
        checkpoints=Checkpoints(2, keep=9, validate_every=4, log_every=3, validation_examples=16),
    )
    run = tmp_path / "deep" / "run"
    train(experiment, run, sources)
    lines = metrics(run)
    names = {name for line in lines for name in line}
    for name in ("text", "series"):
        assert {f"retrieval@1/{name}", f"logit_scale/{name}", f"validation_loss/{name}"} <= names
    trained = [line["step"] for line in lines if "loss" in line]
    assert trained == [3, 6, 8]
    validated = [line for line in lines if "validation_loss" in line]
    assert [line["step"] for line in validated] == [2, 4, 6, 8]
    for line in validated:
        assert line["validation_retrieval@1"] == saved[line["step"]][1]
    assert (run / "training.png").read_bytes().startswith(b"\x89PNG")
    assert list((run / "tensorboard").iterdir())
    assert set(json.loads((run / "run.json").read_text())["versions"]) >= {"jax", "flax", "numpy"}

    like = state_like(experiment, sources)
    for step in sorted(saved, reverse=True):  # to restore an older one, the newer are moved away
        checkpoints = Checkpointer(run)
        assert checkpoints.latest_step() == step
        assert_same_state(checkpoints.restore_state(like), saved[step][0])
        checkpoints.close()
        (run / "checkpoints" / str(step)).rename(tmp_path / str(step))
        (run / "checkpoints.sha256" / f"{step}.json").unlink()


def test_the_last_and_the_best_checkpoints_are_kept(sources, tmp_path, monkeypatch):
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.2])

    class Judge:
        def __init__(self, *_):
            pass

        def __call__(self, params):
            return {"validation_retrieval@1": next(scores)}

    monkeypatch.setattr(loop, "Validation", Judge)
    train(dataclasses.replace(SMALL, steps=10), tmp_path, sources)
    assert checkpoint_steps(tmp_path) == ["10", "4", "8"]


@pytest.fixture
def run(finished, tmp_path):
    """A finished run of the small experiment."""
    return shutil.copytree(finished, tmp_path / "run")


def test_a_finished_run_is_not_harmed_by_training_it_again(sources, run):
    kept = {path: data for path, data in contents(run).items() if path.parts[0] != "tensorboard"}
    state = train(SMALL, run, sources)
    assert int(state.step) == 4
    again = contents(run)
    assert {path: again[path] for path in kept if path.name != "training.png"} == {
        path: kept[path] for path in kept if path.name != "training.png"
    }
    assert kept.keys() == {path for path in again if path.parts[0] != "tensorboard"}


def test_other_settings_are_refused_and_the_run_is_left_alone(sources, run):
    before = contents(run)
    other = dataclasses.replace(SMALL, steps=3, seed=4)
    with pytest.raises(RunError, match="another --run-dir") as caught:
        train(other, run, sources)
    assert "seed: 0 → 4" in str(caught.value)
    assert "steps: 4 → 3" in str(caught.value)
    assert "degree" not in str(caught.value)
    assert contents(run) == before


def test_a_run_is_trained_by_one_process_at_a_time(sources, run):
    before = contents(run)
    with locked(run), pytest.raises(RunError, match="another process is training"):
        train(SMALL, run, sources)
    assert contents(run) == before
    train(SMALL, run, sources)


def test_a_diverged_state_is_never_saved(sources, tmp_path):
    settings = dataclasses.replace(SMALL.checkpoints, log_every=3)
    wild = dataclasses.replace(SMALL, optimizer=Optimizer(1e36), checkpoints=settings)
    with pytest.raises(RunError, match=r"step 2 is not finite: .* no checkpoint was saved before"):
        train(wild, tmp_path, sources)
    assert checkpoint_steps(tmp_path) == []


def test_a_state_that_validates_badly_is_never_saved(sources, tmp_path):
    split = sources["series"]
    samples = split.validation.samples.copy()
    samples[0] = np.nan
    bad = split._replace(validation=ArraySource(samples, split.validation.lonlat))
    with pytest.raises(
        RunError, match=r"training diverged by step 2: \{'validation_loss/series': nan"
    ):
        train(SMALL, tmp_path, {"series": bad})
    assert checkpoint_steps(tmp_path) == []


@pytest.mark.parametrize("rule", [None, "1 in 10 blocks of 0.25°"])
def test_a_run_on_tables_under_another_hold_out_rule_is_not_resumed(rule, tmp_path):
    """Its training places would change. It can still be loaded, and so embedded and evaluated."""
    settings = "Checkpoints(save_every=2, validate_every=2, log_every=2)"
    path = write_experiment(tmp_path, ("a",), method="Pair()", steps="2", checkpoints=settings)
    experiment, run = load_experiment(path), tmp_path / "run"
    train(experiment, run, open_sources(experiment))
    record = json.loads((run / "run.json").read_text())
    assert record.pop("holdout") == HOLDOUT
    if rule:
        record["holdout"] = rule
    (run / "run.json").write_text(json.dumps(record))
    before = contents(run)
    for refused in (
        lambda: train(experiment, run, open_sources(experiment)),
        lambda: train(dataclasses.replace(experiment, seed=4), run, open_sources(experiment)),
        lambda: diagnose_run(run),
    ):
        with pytest.raises(RunError, match=r"other places of a were held out .* another --run-dir"):
            refused()
    assert contents(run) == before
    with pytest.warns(FaultWarning, match=r"is damaged: run\.json: .*; using it unverified"):
        assert load(run, unverified=True).dim == 8


def test_a_run_on_other_data_sets_is_resumed_whatever_rule_it_recorded(sources, run):
    record = json.loads((run / "run.json").read_text())
    del record["holdout"]  # as older versions left it
    (run / "run.json").write_text(json.dumps(record))
    with pytest.warns(FaultWarning, match=r"is damaged: run\.json: .*; using "):
        assert int(train(SMALL, run, sources, unverified=True).step) == 4
    assert int(train(SMALL, run, sources).step) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", '{"experiment": 3}', '{"experiment": {"a": 1}}'])
def test_a_damaged_run_file_is_refused(text, sources, run):
    (run / "run.json").write_text(text)
    before = contents(run)
    with pytest.raises(RunError, match=r"run\.json cannot be read as a run"):
        train(SMALL, run, sources)
    assert contents(run) == before


def test_directories_that_cannot_hold_a_run(sources, tmp_path, monkeypatch):
    def refused(path, message):
        before = contents(tmp_path)
        with pytest.raises(RunError, match=message):
            train(SMALL, path, sources)
        assert contents(tmp_path) == before

    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("Introduction")
    refused(foreign, r"thesis holds no run: expected a file run\.json")
    refused(foreign / "chapter.tex", "is a file")
    refused(foreign / "chapter.tex" / "run", "Not a directory")
    refused(tmp_path / ("x" * 999), "File name too long")
    locked = tmp_path / "locked"
    locked.mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)  # a superuser may write anywhere
    refused(locked, "locked: Permission denied")


@pytest.mark.parametrize("method", ["pair", "melt", "salt"])
def test_fewer_examples_than_a_batch(method, make_experiment, sources, tmp_path):
    few = {"image": Splits(make_source("image", 15, 1), sources["image"].validation)}
    with pytest.raises(DataError, match=r"15 examples .*fewer than .*\d+") as caught:
        train(make_experiment(method), tmp_path / "run", sources | few)
    assert not (tmp_path / "run").exists()
    assert re.search(r"\b(16|48)\b", str(caught.value))


def test_a_batch_that_the_devices_cannot_share(make_experiment, sources, tmp_path):
    with pytest.raises(ConfigError, match=r"\{'image': 50\}: expected multiples .* 8"):
        train(make_experiment("pair", batch_size=50), tmp_path / "run", sources)
    assert not (tmp_path / "run").exists()


def test_whole_data_sets_in_tiles_and_microbatches(make_experiment, sources, tmp_path):
    """An epoch is a step; the numbers are those of one matrix and one pass through the towers."""
    plain = make_experiment("melt", ("series", "text"), batch_size="all", steps=3)
    divided = dataclasses.replace(plain, memory=Memory(tile=16, exchange="ring", microbatch=32))
    states = [
        train(experiment, tmp_path / name, sources)
        for name, experiment in (("plain", plain), ("divided", divided))
    ]
    whole, parts = (metrics(tmp_path / name) for name in ("plain", "divided"))
    assert [line["step"] for line in whole] == [line["step"] for line in parts]
    for expected, found in zip(whole, parts, strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert_same_update(*states, states[0].params)


def test_an_error_while_training_leaves_the_run_whole(sources, tmp_path):
    """What was saved before stays, and training goes on from there."""

    class Failing(Stopping):
        def gather(self, indices):
            self.reads -= 1
            if self.reads == 0:
                raise DataError("row 7 cannot be read")
            return self.source.gather(indices)

    experiment = dataclasses.replace(SMALL, steps=8)
    failing = sources["series"]._replace(train=Failing(sources["series"].train, 9, None))
    with pytest.raises(DataError, match="row 7 cannot be read"):
        train(experiment, tmp_path, {"series": failing})
    assert checkpoint_steps(tmp_path) in (["2"], ["2", "4"], ["4", "6"])
    assert int(train(experiment, tmp_path, sources).step) == 8
