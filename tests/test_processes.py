"""How a process decides whether it is one of several; several real ones: tests/training."""

import pytest

from earth_embed import processes
from earth_embed.errors import ConfigError, RunError
from earth_embed.processes import check_same, from_main, in_any, in_cluster, join


@pytest.fixture
def initialised(monkeypatch):
    """Records what JAX is told, instead of joining anything."""
    calls = []
    monkeypatch.setattr(
        processes.jax.distributed, "initialize", lambda *given, **_: calls.append(given)
    )
    for variable in ("COORDINATOR", "PROCESSES", "PROCESS"):
        monkeypatch.delenv(f"EARTH_EMBED_{variable}", raising=False)
    return calls


def test_alone_unless_something_says_otherwise(initialised, monkeypatch):
    monkeypatch.setattr(processes, "in_cluster", lambda: False)
    join()
    assert initialised == []
    monkeypatch.setattr(processes, "in_cluster", lambda: True)
    join()
    assert initialised == [(None, None, None)]


def test_flags_come_before_the_environment(initialised, monkeypatch):
    monkeypatch.setenv("EARTH_EMBED_COORDINATOR", "there:1")
    monkeypatch.setenv("EARTH_EMBED_PROCESSES", "4")
    monkeypatch.setenv("EARTH_EMBED_PROCESS", "3")
    join()
    join("here:2", 2, 0)
    join("auto")
    assert initialised == [("there:1", 4, 3), ("here:2", 2, 0), (None, 4, 3)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("here:1", 2, None), "--coordinator HOST:PORT, --processes and --process; found 'here:1'"),
        ((None, 2, 1), "found None, 2 and 1"),
        (("here:1", 2, 2), r"--process 2: expected 0 … 1"),
    ],
)
def test_half_a_description_is_refused(given, message, initialised):
    with pytest.raises(ConfigError, match=message):
        join(*given)
    assert initialised == []


def test_the_environment_is_checked(initialised, monkeypatch):
    monkeypatch.setenv("EARTH_EMBED_PROCESSES", "four")
    with pytest.raises(ConfigError, match="PROCESSES = 'four': expected a whole number"):
        join()


def test_what_goes_wrong_is_said_in_the_projects_words(monkeypatch):
    def fail(error):
        def initialize(*_, **__):
            raise error

        monkeypatch.setattr(processes.jax.distributed, "initialize", initialize)

    fail(ValueError("coordinator_address should be defined."))
    with pytest.raises(ConfigError, match="--coordinator auto: no cluster found"):
        join("auto")
    fail(processes.jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED"))
    with pytest.raises(RunError, match="process 1 of 2 could not join at here:1: DEADLINE"):
        join("here:1", 2, 1)


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, False),
        ({"SLURM_NTASKS": "4"}, False),  # the batch script itself, not one of its tasks
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "2"}, True),
        ({"KUBERNETES_SERVICE_HOST": "x"}, False),
        ({"KUBERNETES_SERVICE_HOST": "x", "JOB_COMPLETION_INDEX": "0"}, True),
    ],
)
def test_signs_of_a_cluster(environment, several, monkeypatch):
    monkeypatch.setattr(processes.os, "environ", environment)
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    assert in_cluster() is several


def test_one_process_agrees_with_itself():
    assert from_main(lambda: {"a": 1}) == {"a": 1}
    check_same("it", "text")
    assert (in_any(None), in_any("fault")) == (None, "fault")
