"""A new run from another run's weights: at step 0, with a fresh optimizer.

run.json records where the weights came from. They are read again only if the run is resumed before
its first checkpoint, and must then be the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from earth_embed.config import Experiment
from earth_embed.config.files import differences
from earth_embed.errors import RunError
from earth_embed.processes import from_main, is_main
from earth_embed.step.mesh import replicated
from earth_embed.step.state import TrainState
from earth_embed.step.towers import LOCATION, Towers
from earth_embed.training.checkpoint import Checkpointer, array_shapes
from earth_embed.training.choice import steps_in
from earth_embed.training.run_dir import RUN_FILE, read_experiment, read_init_from


class Weights(NamedTuple):
    """Another run's parameters."""

    params: dict[str, Any]
    """Parameters by tower, on the host."""
    origin: dict[str, str]
    """What run.json records: the other run, its step, and the SHA-256 of its parameters."""


def initial_weights(
    run_dir: Path,
    experiment: Experiment,
    init_from: Path | None,
    mesh: Mesh,
    unverified: bool = False,
) -> Weights | None:
    """The weights that a run starts from; None if it draws its own or has a checkpoint.

    Args:
        run_dir: The run, which may be new.
        experiment: Its experiment.
        init_from: The other run. None: the one recorded in run.json, if any.
        mesh: The devices.
        unverified: As in `Checkpointer`.

    Raises:
        RunError: there is no other run, its location encoder differs, or `run_dir` holds a run that
            was begun from other weights.
        CheckpointError: the other run has no usable checkpoint.
    """
    asked = None if init_from is None else str(init_from.resolve())

    def recorded() -> list[Any]:
        exists = (run_dir / RUN_FILE).exists()
        origin = read_init_from(run_dir) if exists else {}
        return [exists, origin, bool(steps_in(run_dir / "checkpoints"))]

    exists, origin, saved = from_main(recorded)
    if exists and asked is not None and asked != origin.get("run"):
        raise RunError(
            f"{run_dir} holds a run that was begun from {origin.get('run', 'no other run')}, not "
            f"from {asked}: take another --run-dir"
        )
    other = origin.get("run") if exists else asked
    if saved or other is None:
        return None
    weights = _read(Path(other), experiment, mesh, unverified)
    if exists and weights.origin["sha256"] != origin["sha256"]:
        raise RunError(
            f"{run_dir} was begun from the weights of step {origin['step']} of {other}, and found "
            f"others there, of step {weights.origin['step']}: remove {run_dir} to begin anew"
        )
    return weights


def begin(state: TrainState, weights: Weights, towers: Towers, shardings: Any) -> TrainState:
    """Puts another run's weights into a new state, and says which towers have them.

    Those are the location encoder and, of the towers that can train, all that the other run has in
    the same shapes. A logit scale is clamped to this run's bounds.
    """
    fits = {
        name: name in weights.params and array_shapes(weights.params[name]) == array_shapes(values)
        for name, values in state.params.items()
    }
    if not fits[LOCATION]:
        raise RunError(f"{weights.origin['run']}: expected a location encoder of the same shapes")
    taken = [name for name in towers.trained(towers.names) if fits[name]]
    params = dict(state.params)
    for name in taken:
        values = towers.project(name, weights.params[name])
        params[name] = jax.device_put(values, shardings.params[name])
    if is_main():
        fresh = ", ".join(sorted(params.keys() - taken)) or "none"
        print(
            f"weights of {weights.origin['run']}, step {weights.origin['step']}: "
            f"{', '.join(taken)}; fresh: {fresh}",
            file=sys.stderr,
        )
    return dataclasses.replace(state, params=params)


def _read(run: Path, experiment: Experiment, mesh: Mesh, unverified: bool) -> Weights:
    other = read_experiment(run)
    own = dataclasses.replace(other, location=experiment.location)
    if changed := differences(other, own):
        raise RunError(
            f"{run} has another location encoder; expected the same. Settings that differ "
            "(its → asked for):\n  " + "\n  ".join(changed)
        )
    with closing(Checkpointer(run, unverified=unverified)) as checkpoints:
        state = checkpoints.restore_saved(replicated(mesh))
    params = jax.device_get(state["params"])
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes())
    step = str(int(state["step"]))
    return Weights(params, {"run": str(run.resolve()), "step": step, "sha256": digest.hexdigest()})
