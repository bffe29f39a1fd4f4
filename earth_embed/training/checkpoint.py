"""Checkpoints by Orbax, and nowhere else: the last k and the best of a run.

A checkpoint holds two items: `state`, all that resuming needs, and `location`, the location
encoder's parameters alone, which is all that users of the run load.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
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

    def __init__(self, run_dir: Path, keep: int | None = None) -> None:
        """Opens the run's checkpoints.

        Args:
            run_dir: The run.
            keep: The last so many are kept, and the best one; None: only to restore, so that
                nothing in the run is touched.

        Raises:
            CheckpointError: they cannot be listed.
        """
        _quieten_orbax()
        self._directory = (run_dir / "checkpoints").absolute()
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(keep),
                preservation_policy.BestN(get_metric_fn=_score, n=1),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            best_fn=_score,
            cleanup_tmp_directories=keep is not None,  # what a kill during a save left behind
            read_only=keep is None,
        )
        try:
            self._manager = ocp.CheckpointManager(
                self._directory, options=options, item_names=("state", "location")
            )
        except (OSError, ValueError) as error:  # no permission, or damaged metrics
            raise CheckpointError(f"cannot open {self._directory}: {error}") from error

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
            raise self._save_failure(error) from error

    def wait(self) -> None:
        """Returns once every checkpoint is whole on disk.

        Raises:
            CheckpointError: one could not be written.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._save_failure(error) from error

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
        args = ocp.args.Composite(**{item: ocp.args.StandardRestore(like)})
        try:
            return jax.block_until_ready(self._manager.restore(step, args=args)[item])
        except Exception as error:
            raise self._failure(
                f"restore checkpoint {self._directory / str(step)}",
                error,
                "If its files are damaged, move that folder away to fall back on an older one.",
            ) from error

    def _save_failure(self, error: Exception) -> CheckpointError:
        kept = "The checkpoints saved before it are untouched."
        return self._failure(f"save a checkpoint in {self._directory}", error, kept)

    def _failure(self, what: str, error: Exception, advice: str) -> CheckpointError:
        # TensorStore appends its whole specification, and begins with what it was about to do.
        lines = re.split(r" \[\w+(?:\[\d+\])?='", str(error).strip())[0].splitlines()
        cause = lines[0] if lines else type(error).__name__
        shown = cause if len(cause) <= 300 else f"{cause[:120]} … {cause[-160:]}"
        return CheckpointError(f"cannot {what}: {shown}\n{advice}")


@functools.cache
def _quieten_orbax() -> None:
    """Leaves one error of a failure: ours, that of the first array that could not be moved.

    Orbax then abandons the other arrays, and each puts a traceback on the console: through the logs
    of Abseil and asyncio, from TensorStore's threads, or when it is garbage collected.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    show = sys.unraisablehook

    def show_others(unraisable: Any) -> None:
        code = getattr(unraisable.object, "cr_code", None)
        of_orbax = code is not None and "orbax" in code.co_filename
        if not of_orbax and str(unraisable.exc_value) != "Event loop is closed":
            show(unraisable)

    sys.unraisablehook = show_others


def _score(metrics: Mapping[str, float]) -> float:
    return metrics[SCORE]
