"""Several real processes on the loopback address: one run, whatever their number."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from earth_embed.config.files import load_experiment
from earth_embed.data import open_sources
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.loop import train
from tests.training.runs import metrics, state_like, write_experiment

METHODS = {"pair": "Pair()", "melt": "Melt()", "salt": "Salt(order='shuffled')"}
TOLERANCE = 1e-5
TRAIN_EACH = """
import sys
from earth_embed.cli import main
for run in sys.argv[2:]:
    main(["train", sys.argv[1] + "/" + run + "/tiny.py", "--run-dir", run])
"""

# The runtime looks for a signal once a second, and agrees on a step to stop at after that. So the
# process that is told takes its time from then on, and the others wait for it at every step.
TRAIN_AND_TELL_ONE = """
import os, signal, sys, time
from earth_embed.cli import main
from earth_embed.data.pipeline import Batches

read, reads = Batches.read, []

def read_slowly(self, draws):
    reads.append(draws)
    if len(reads) == 6:
        os.kill(os.getpid(), signal.SIGTERM)
    if len(reads) >= 6:
        time.sleep(2)
    return read(self, draws)

if os.environ["EARTH_EMBED_PROCESS"] == "2":
    Batches.read = read_slowly
main(sys.argv[1:])
"""


@contextlib.contextmanager
def processes(count, devices, *command, cwd=None):
    """Starts a command of Python's in `count` processes that find each other by the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "EARTH_EMBED_COORDINATOR": f"127.0.0.1:{port}",
        "EARTH_EMBED_PROCESSES": str(count),
        "JAX_NUM_CPU_DEVICES": str(devices),
        "PYTHONPATH": os.getcwd(),
        "COLUMNS": "400",
    }
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=environment | {"EARTH_EMBED_PROCESS": str(number)},
        )
        for number in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def ends(started, timeout=900):
    """Each process's (status, stdout, stderr); a process that hangs would be ended at last."""
    ended = []
    for process in started:
        out, error = process.communicate(timeout=timeout)
        ended.append((process.returncode, out, error))
    return ended


def final_state(run, experiment):
    """The run's last state, whole on this process's devices."""
    like = state_like(experiment, open_sources(experiment))
    return Checkpointer(run).restore_state(like)


def curves(run):
    """{(step, metric): value}"""
    return {(line["step"], name): line[name] for line in metrics(run) for name in line}


def assert_same_run(run, other, experiment):
    """The same metrics and the same state, to rounding; where it stopped it was validated too.

    Each array by its largest number: the second moments are small, and small entries have the
    rounding of large ones.
    """
    ours, theirs = curves(run), curves(other)
    assert theirs.keys() <= ours.keys()
    values = [[curve[point] for point in theirs] for curve in (ours, theirs)]
    np.testing.assert_allclose(*values, rtol=TOLERANCE, atol=1e-6)
    leaves = [jax.tree.leaves(jax.device_get(final_state(r, experiment))) for r in (run, other)]
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * np.abs(b).max())


def wait_for_step(run, step, started):
    """Waits until the run has recorded so many steps."""
    while all(process.poll() is None for process in started):
        with contextlib.suppress(FileNotFoundError):
            if len((run / "metrics.jsonl").read_text().splitlines()) > step:
                return
        time.sleep(0.01)
    raise AssertionError([process.communicate() for process in started])


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """An experiment of each method and its run on this process's eight devices."""
    folder = tmp_path_factory.mktemp("one")
    runs = {}
    for name, method in METHODS.items():
        (folder / name).mkdir()
        modalities = ("a",) if name == "pair" else ("a", "b")
        path = write_experiment(folder / name, modalities, method=method, steps="6")
        experiment = load_experiment(path)
        runs[name] = folder / name / "run"
        train(experiment, runs[name], open_sources(experiment))
    return runs


@pytest.mark.parametrize(
    ("count", "devices", "methods"),
    [(2, 4, ("pair", "melt", "salt")), (4, 1, ("melt", "salt"))],  # SALT's steps are pairs'
)
def test_several_processes_train_the_run_of_one(count, devices, methods, one_process, tmp_path):
    folder = one_process["melt"].parents[1]
    with processes(count, devices, "-c", TRAIN_EACH, folder, *methods, cwd=tmp_path) as started:
        ended = ends(started)
    assert [status for status, *_ in ended] == [0] * count, ended
    for name in methods:
        experiment = load_experiment(folder / name / "tiny.py")
        assert_same_run(tmp_path / name, one_process[name], experiment)
    # One of them speaks for all.
    for what, stream in (("trained", 1), (": training an experiment", 2), ("opening the data", 2)):
        counts = [end[stream].count(what) for end in ended]
        assert counts == [len(methods)] + [0] * (count - 1)


def test_a_stopped_run_goes_on_with_other_processes(tmp_path):
    path = write_experiment(
        tmp_path, method="Melt()", steps="16", mesh="MeshConfig(model=2, split_from=64)"
    )
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    experiment = load_experiment(path)
    train(experiment, whole, open_sources(experiment))

    command = ("train", path, "--run-dir")
    with processes(4, 2, "-c", TRAIN_AND_TELL_ONE, *command, stopped) as started:
        ended = ends(started)  # one of them is told, and all stop at one step
    assert [status for status, *_ in ended] == [128 + signal.SIGTERM] * 4, ended
    assert len({error.splitlines()[-1] for *_, error in ended}) == 1
    assert "the same command resumes it" in ended[0][2]
    assert len(metrics(stopped)) < len(metrics(whole))

    for count, devices, mesh in ((1, 8, 2), (2, 2, 4), (1, 1, 1)):
        resumed = tmp_path / f"on_{count}_{devices}"
        shutil.copytree(stopped, resumed)
        arguments = (*command, resumed, "--mesh.model", mesh)
        with processes(count, devices, "-m", "earth_embed", *arguments) as started:
            ended = ends(started)
        assert [status for status, *_ in ended] == [0] * count, ended
        assert_same_run(resumed, whole, experiment)


@pytest.mark.parametrize("dead", [0, 1])  # the first is also where the others meet
def test_a_death_ends_the_others_with_a_message(dead, tmp_path):
    path = write_experiment(tmp_path, method="Melt()", steps="100000")
    run = tmp_path / "run"
    with processes(2, 1, "-m", "earth_embed", "train", path, "--run-dir", run) as started:
        wait_for_step(run, 3, started)
        started[dead].kill()
        status, _, error = ends([started[1 - dead]])[0]
    assert status in (75, -signal.SIGABRT), error  # noticed by us, or by the runtime
    assert "cannot go on" in error or "another task died" in error


def test_processes_that_disagree_are_told(tmp_path):
    path = write_experiment(tmp_path, method="Melt()")
    code = (
        "import os, sys; from earth_embed.cli import main;"
        "main([*sys.argv[1:], '--seed', os.environ['EARTH_EMBED_PROCESS']])"
    )
    run = tmp_path / "run"
    with processes(2, 1, "-c", code, "train", path, "--run-dir", run) as started:
        ended = ends(started)
    for status, _, error in ended:
        assert status == 2
        assert "the experiment differs between process 0 and process 1" in error
    assert not run.exists()
