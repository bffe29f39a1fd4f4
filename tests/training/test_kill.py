"""SIGKILL, for real: a run killed at any moment ends as one that never was."""

import json
import os
import signal
import time

import numpy as np

from earth_embed.config.files import load_experiment
from earth_embed.data import open_sources
from earth_embed.pretrained.encoder import load
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.choice import steps_in
from tests.training.runs import (
    assert_same_state,
    checkpoint_steps,
    manifests,
    metrics,
    start,
    state_like,
    write_experiment,
)

KILLS = int(os.environ.get("EARTH_EMBED_KILLS", "3"))
"""20 for the full test, in about ten minutes."""
TEMPORARY = ".orbax-checkpoint-tmp"
SAVE_EVERY, STEPS_A_KILL = 2, 40


def kill_when(condition, experiment, run):
    """Trains until `condition` holds of the process, then kills; returns whether it had ended."""
    process = start("train", experiment, "--run-dir", run)
    try:
        while process.poll() is None and not condition(process):
            time.sleep(0.001)
    finally:
        process.kill()
        _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors
    assert "warning" not in errors  # a kill damages nothing, so there is nothing to tell
    return process.returncode == 0


def never(process):
    return False


def last_recorded(run):
    """The last step in metrics.jsonl, whose last line may be half written."""
    try:
        whole = (run / "metrics.jsonl").read_text().rpartition("\n")[0].splitlines()
    except FileNotFoundError:
        return 0
    return json.loads(whole[-1])["step"] if whole else 0


def saving(run):
    return any(path.name.endswith(TEMPORARY) for path in (run / "checkpoints").glob("*"))


def newest(run):
    """The step of the newest whole checkpoint; 0: none."""
    return max(steps_in(run / "checkpoints"), default=0)


def moment(kind, run, rng):
    """A condition that holds at a random moment of one kind, on a quick machine and a slow one."""
    before, after = newest(run), []
    delay = rng.uniform(0, {"starting": 10, "training": 0.4, "saving": 0.1}[kind])
    steps = SAVE_EVERY * rng.integers(1, STEPS_A_KILL // SAVE_EVERY // 2)

    def starting_or_training(process):
        if not after and (kind == "starting" or newest(run) > before):
            after.append(time.monotonic() + delay)
        late = bool(after) and time.monotonic() >= after[0]
        # Where steps are quick, their number decides: a start is over with the first of them.
        return late or newest(run) > before + (0 if kind == "starting" else steps)

    def in_a_save(process):
        nonlocal delay
        if newest(run) == before or not saving(run):
            return False
        time.sleep(delay)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if saving(run):
            return True
        process.send_signal(signal.SIGCONT)  # the save was over: the next one, and sooner
        delay /= 2
        return False

    return in_a_save if kind == "saving" else starting_or_training


def test_a_run_killed_again_and_again_ends_as_one_that_was_not(tmp_path):
    """At moments drawn with a seed: while it starts, trains (and deletes old saves), and saves."""
    path = write_experiment(
        tmp_path,
        steps=str(STEPS_A_KILL * (KILLS + 1)),
        checkpoints=f"Checkpoints(save_every={SAVE_EVERY}, validate_every=8, log_every=1)",
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert kill_when(never, path, whole)
    rng = np.random.default_rng(0)
    kinds = np.resize(["saving", "training", "saving", "starting"], KILLS)
    for kind in kinds:
        before = newest(killed)
        assert not kill_when(moment(kind, killed, rng), path, killed), "it ended before the kill"
        assert saving(killed) or kind != "saving"
        saved = newest(killed)
        assert saved >= before + (kind != "starting")
        # The steps since the last save, and those of the save that the kill fell into.
        assert last_recorded(killed) - saved <= 2 * SAVE_EVERY
        if saved:
            assert load(killed).dim == 8  # without a warning
    assert kill_when(never, path, killed)

    assert metrics(killed) == metrics(whole)
    assert checkpoint_steps(killed) == checkpoint_steps(whole)  # what was unfinished is cleared
    steps = [str(step) for step in steps_in(killed / "checkpoints")]
    assert manifests(killed) == sorted(f"{step}.json" for step in steps)
    experiment = load_experiment(path)
    like = state_like(experiment, open_sources(experiment))
    states = [Checkpointer(run).restore_state(like) for run in (killed, whole)]
    assert_same_state(*states)
    assert int(states[0].step) == experiment.steps
    assert np.isfinite(metrics(whole)[-1]["validation_loss"])
