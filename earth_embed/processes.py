"""Several processes that train one run together: how they join, agree and leave.

They use JAX's multi-controller runtime: every process runs the same program on its own devices and
its own slice of the data. Process 0 alone does what must be done once, such as creating the run's
directory, and the others learn its result or error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from earth_embed import errors
from earth_embed.errors import CheckpointError, ConfigError, EarthEmbedError, ProcessLost, RunError

AUTO = "auto"

_SILENCE = 20
"""Seconds without a heartbeat after which a process counts as dead."""

_JOINING = 300
"""Seconds that a process waits for the others at the start."""


def join(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> None:
    """Joins the other processes of the run, once; must be called before any computation.

    Missing arguments are taken from EARTH_EMBED_COORDINATOR, EARTH_EMBED_PROCESSES and
    EARTH_EMBED_PROCESS. Without any of them, JAX asks the cluster, if there is one (TPU pod, Slurm
    step, Kubernetes job); otherwise the process runs alone.

    Args:
        coordinator: HOST:PORT of process 0, the same for all; or "auto" to ask the cluster for
            everything.
        processes: Number of processes.
        process: Index of this process, from 0.

    Raises:
        ConfigError: some of the three are missing or out of range, or no cluster was found.
        RunError: the other processes did not join in time.
    """
    if jax.distributed.is_initialized():
        return
    coordinator = coordinator or os.environ.get("EARTH_EMBED_COORDINATOR")
    processes = _number("EARTH_EMBED_PROCESSES") if processes is None else processes
    process = _number("EARTH_EMBED_PROCESS") if process is None else process
    if coordinator is None and processes is None and process is None:
        if not in_cluster():
            return
        coordinator = AUTO
    if coordinator == AUTO:
        coordinator = None
    elif coordinator is None or processes is None or process is None:
        raise ConfigError(
            "a run of several processes needs --coordinator HOST:PORT, --processes and --process; "
            f"found {coordinator!r}, {processes} and {process}"
        )
    elif not re.fullmatch(r".+:[0-9]{1,5}", coordinator):
        raise ConfigError(f"--coordinator {coordinator!r}: expected HOST:PORT or {AUTO}")
    elif processes < 1:
        raise ConfigError(f"--processes {processes}: expected 1 or more")
    elif not 0 <= process < processes:
        raise ConfigError(f"--process {process}: expected 0 … {processes - 1}")
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=_JOINING,
            heartbeat_timeout_seconds=_SILENCE,
            shutdown_timeout_seconds=_SILENCE,
        )
    except ValueError as error:
        raise ConfigError(f"--coordinator {AUTO}: no cluster found: {error}") from error
    except jax.errors.JaxRuntimeError as error:
        raise RunError(
            f"process {process} of {processes} could not join at {coordinator}: {error}"
        ) from error


def in_cluster() -> bool:
    """Whether the environment says that this process is one of several."""
    several = int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ
    job = {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= os.environ.keys()
    tpu = importlib.util.find_spec("libtpu") is not None  # JAX then asks the machine itself
    return several or job or tpu


def is_main() -> bool:
    """Whether this is process 0, the one that writes shared files."""
    return jax.process_index() == 0


def several() -> bool:
    """Whether there are other processes."""
    return jax.process_count() > 1


def from_main(make: Callable[[], Any]) -> Any:
    """Runs `make` in process 0 and returns its result, plain JSON values, in every process.

    Raises:
        EarthEmbedError: `make` raised it; it is raised in every process.
    """
    if not several():
        return make()
    outcome: dict[str, Any] = {}
    if is_main():
        try:
            outcome = {"value": make()}
        except EarthEmbedError as error:
            outcome = {"kind": type(error).__name__, "message": str(error)}
    outcome = json.loads(_broadcast(json.dumps(outcome).encode()))
    if "kind" in outcome:
        raise getattr(errors, outcome["kind"])(outcome["message"])
    return outcome["value"]


def wait_for_all(what: str) -> None:
    """Waits until every process gets here."""
    if several():
        multihost_utils.sync_global_devices(what)


def check_same(what: str, text: str) -> None:
    """Checks that every process has the same text as process 0.

    Raises:
        RunError: it differs; raised in every process.
    """
    if not several():
        return
    differs = from_main(lambda: text) != text
    flags = multihost_utils.process_allgather(np.asarray(differs))
    if flags.any():
        others = ", ".join(map(str, np.flatnonzero(flags)))
        raise RunError(f"{what} differs between process 0 and process {others}: expected the same")


def in_any(fault: str | None) -> str | None:
    """This process's fault, or a note of another's; None if no process has one."""
    if not several():
        return fault
    flags = multihost_utils.process_allgather(np.asarray(fault is not None))
    if fault is None and flags.any():
        return f"fails in process {np.flatnonzero(flags)[0]}"
    return fault


@contextmanager
def reporting_lost_process(run_dir: Path) -> Iterator[None]:
    """Explains the runtime's error when another process is lost.

    A process that fails leaves the others waiting for it. Those inside a computation get an error
    when the connection breaks; the runtime ends the others after 20 s without a heartbeat.

    Args:
        run_dir: The run, for messages.

    Raises:
        ProcessLost: another process is gone, or this process's devices failed.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, CheckpointError) as error:
        if not several():
            raise
        first = str(error).strip().splitlines()[0]
        raise ProcessLost(
            f"process {jax.process_index()} of {jax.process_count()} cannot go on: another one is "
            f"gone, or its own devices failed ({first}). Its log says more; the same command "
            f"resumes {run_dir} from what it saved last"
        ) from error


def leave(status: int) -> NoReturn:
    """Ends this process after a failure.

    One of several processes exits at once: an orderly shutdown would wait for the others, which
    may be waiting for this one. They notice within seconds.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if jax.distributed.is_initialized() and several():
        os._exit(status)
    sys.exit(status)


def _number(variable: str) -> int | None:
    text = os.environ.get(variable)
    if text is None:
        return None
    if not text.isdigit():
        raise ConfigError(f"{variable} = {text!r}: expected a whole number")
    return int(text)


def _broadcast(message: bytes) -> bytes:
    """Process 0's bytes, in every process."""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    padded = np.frombuffer(message[:size].ljust(size, b"\0"), np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes()
