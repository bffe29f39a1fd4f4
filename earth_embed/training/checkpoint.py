"""Checkpoints by Orbax, and nowhere else: the last k and the best of a run.

A checkpoint holds two items: `state`, all that resuming needs, and `location`, the location
encoder's parameters alone, which is all that users of the run load.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from earth_embed.encoders.towers import LOCATION
from earth_embed.errors import CheckpointError
from earth_embed.step.state import TrainState

SCORE = "validation_retrieval@1"
"""The metric that decides which checkpoint is the best."""


class Checkpointer:
    """Saves and restores the checkpoints of one run."""

    def __init__(self, run_dir: Path, keep: int = 1) -> None:
        """Opens the run's checkpoints.

        Args:
            run_dir: The run.
            keep: The last so many are kept, and the best one.
        """
        logging.getLogger("absl").setLevel(logging.ERROR)
        self._directory = (run_dir / "checkpoints").absolute()
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(keep),
                preservation_policy.BestN(get_metric_fn=_score, n=1),
            ]
        )
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(preservation_policy=policy, best_fn=_score),
            item_names=("state", "location"),
        )

    def save(self, state: TrainState, score: float) -> None:
        """Starts saving a state; training goes on while it is written.

        An unfinished checkpoint has a temporary name and is never taken for a whole one.

        Raises:
            CheckpointError: the disk is full or cannot be written.
        """
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            location=ocp.args.StandardSave(state.params[LOCATION]),
        )
        try:
            self._manager.save(int(state.step), args=items, metrics={SCORE: score})
        except Exception as error:
            raise self._failure("save", int(state.step), error) from error

    def wait(self) -> None:
        """Returns once every checkpoint is whole on disk.

        Raises:
            CheckpointError: one could not be written.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failure("save", self._manager.latest_step(), error) from error

    def close(self) -> None:
        """Waits, then frees the threads."""
        self.wait()
        self._manager.close()

    def latest_step(self) -> int | None:
        """The step of the last whole checkpoint."""
        return self._manager.latest_step()

    def restore_state(self, like: Any) -> TrainState:
        """The last state.

        Args:
            like: Its shapes, dtypes and shardings.

        Raises:
            CheckpointError: there is none, or it is corrupt or of another model.
        """
        return self._restore(self._step("last"), "state", like)

    def restore_location(self, like: Any, which: str = "last") -> Any:
        """The location encoder's parameters, of the `last` or the `best` checkpoint.

        Raises:
            CheckpointError: as in `restore_state`.
        """
        return self._restore(self._step(which), "location", like)

    def _step(self, which: str) -> int:
        step = self._manager.latest_step() if which == "last" else self._manager.best_step()
        if step is None:
            raise CheckpointError(f"no checkpoint in {self._directory}: has the run been trained?")
        return step

    def _restore(self, step: int, item: str, like: Any) -> Any:
        try:
            args = ocp.args.Composite(**{item: ocp.args.StandardRestore(like)})
            return jax.block_until_ready(self._manager.restore(step, args=args)[item])
        except Exception as error:
            raise self._failure("restore", step, error) from error

    def _failure(self, verb: str, step: int | None, error: Exception) -> CheckpointError:
        reason = str(error).strip().splitlines()
        cause = reason[0][:300] if reason else type(error).__name__
        return CheckpointError(
            f"cannot {verb} checkpoint {self._directory / str(step)}: {cause}"
            + (
                "\nIf its files are damaged, move that folder away to fall back on an older one."
                if verb == "restore"
                else "\nThe checkpoints saved before it are untouched."
            )
        )


def _score(metrics: Mapping[str, float]) -> float:
    return metrics[SCORE]
