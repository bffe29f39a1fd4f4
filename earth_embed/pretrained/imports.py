"""Turns published weights into a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp

from earth_embed.errors import CheckpointError, RunError
from earth_embed.files import atomic_folder, sha256
from earth_embed.pretrained.published import Published, geoclip, packaged_weights, satclip
from earth_embed.step.state import TrainState
from earth_embed.step.towers import LOCATION
from earth_embed.torchfiles import Weights, read_weights
from earth_embed.training.checkpoint import Checkpointer
from earth_embed.training.run_dir import open_run, read_experiment, read_origin

PUBLISHED: dict[str, Callable[[Weights], Published]] = {"satclip": satclip, "geoclip": geoclip}


def import_weights(
    kind: str, file: str | Path | None = None, run_dir: str | Path | None = None
) -> tuple[Published, Path]:
    """Makes a run from published weights, for `load`, `evaluate`, `embed` and `map`.

    Args:
        kind: Whose weights they are: one of `PUBLISHED`.
        file: File of weights; None for the one in the installed package `geoclip`.
        run_dir: Directory of the run; None for runs/satclip-lL or runs/geoclip.

    Returns:
        What was read, and the run's directory. The directory appears whole or not at all; importing
        the same file again changes nothing.

    Raises:
        CheckpointError: the file cannot be read or holds something else.
        RunError: the directory holds something else or cannot be written.
    """
    if file is None:
        if kind != "geoclip":
            raise CheckpointError(f"import {kind} expects a file of weights")
        file = packaged_weights()
    weights = read_weights(Path(file))
    published = PUBLISHED[kind](weights)
    run_dir = Path(run_dir or Path("runs") / published.experiment.name)
    origin = {"published": kind, "file": weights.path.name, "sha256": sha256(weights.path)}
    if not _is_imported(run_dir, published, origin):
        _write(run_dir, published, origin)
    return published, run_dir


def _is_imported(run_dir: Path, published: Published, origin: dict[str, str]) -> bool:
    """Whether the directory holds this import; raises RunError if it holds anything else."""
    if not run_dir.exists() or (run_dir.is_dir() and not any(run_dir.iterdir())):
        return False
    same = read_origin(run_dir) == origin and read_experiment(run_dir) == published.experiment
    if not same:
        raise RunError(f"{run_dir} holds another run: take another --run-dir")
    return True


def _write(run_dir: Path, published: Published, origin: dict[str, str]) -> None:
    """Writes a run with one checkpoint at step 0, since nothing was trained here."""
    params = {LOCATION: jax.tree.map(jnp.asarray, published.params)}
    try:
        with atomic_folder(run_dir) as temporary:
            open_run(temporary, published.experiment, origin)
            with closing(Checkpointer(temporary, keep=1)) as checkpoints:
                checkpoints.save(TrainState(jnp.int32(0), params, {}), score=math.nan)
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"cannot make the run directory {run_dir}: {reason}") from error
