"""SIGKILL, for real: a run killed in a step or in a save ends as one that never was."""

import json
import signal
import time

import numpy as np

from earth_embed.config.files import load_experiment
from earth_embed.data.open import open_sources
from earth_embed.training.checkpoint import Checkpointer
from tests.training.runs import (
    assert_same_state,
    checkpoint_steps,
    metrics,
    start,
    state_like,
    write_experiment,
)

TEMPORARY = ".orbax-checkpoint-tmp"
ATTEMPTS = 5


def kill_when(condition, experiment, run):
    """Trains until `condition` holds, then kills; returns whether it ended before that."""
    process = start("train", experiment, "--run-dir", run)
    try:
        while process.poll() is None and not condition():
            time.sleep(0.001)
    finally:
        process.kill()
        _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode == 0


def last_recorded(run):
    """The last step in metrics.jsonl, whose last line may be half written."""
    try:
        whole = (run / "metrics.jsonl").read_text().rpartition("\n")[0].splitlines()
    except FileNotFoundError:
        return 0
    return json.loads(whole[-1])["step"] if whole else 0


def saving(run):
    return any(path.name.endswith(TEMPORARY) for path in (run / "checkpoints").glob("*"))


def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    path = write_experiment(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert kill_when(lambda: False, path, whole)

    assert not kill_when(lambda: last_recorded(killed) >= 6, path, killed)
    assert 0 < len(metrics(killed)) < len(metrics(whole))
    # Nothing tells from outside how long a save takes: try until the kill falls into one.
    for _ in range(ATTEMPTS):
        assert not kill_when(lambda: saving(killed), path, killed), "it ended before a save was hit"
        if saving(killed):
            break
    assert saving(killed), f"{ATTEMPTS} kills missed every save"
    assert kill_when(lambda: False, path, killed)

    assert metrics(killed) == metrics(whole)
    assert checkpoint_steps(killed) == checkpoint_steps(whole)  # the unfinished one is cleared away
    experiment = load_experiment(path)
    like = state_like(experiment, open_sources(experiment))
    states = [Checkpointer(run).restore_state(like) for run in (killed, whole)]
    assert_same_state(*states)
    assert int(states[0].step) == experiment.steps
    assert np.isfinite(metrics(whole)[-1]["validation_loss"])
