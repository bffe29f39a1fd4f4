"""Checkpoints by Orbax, and nowhere else: the last k and the best of a run.

A checkpoint holds two items: `state`, all that resuming needs, and `location`, the location
encoder's parameters alone, which is all that users of the run load. A manifest beside it records
its files' checksums. One that is damaged, or of another model, is passed over for an older one.
"""

from __future__ import annotations

import itertools
import re
import shutil
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from earth_embed.errors import CheckpointError, FaultWarning
from earth_embed.processes import from_main, in_any, is_main
from earth_embed.step.state import TrainState
from earth_embed.step.towers import LOCATION
from earth_embed.training.choice import (
    SCORE,
    Choice,
    choose,
    drop_manifests,
    steps_in,
    write_manifest,
)

ITEMS = ("state", "location")


DELETED = ".deleted"


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
            # A kill while an old checkpoint is deleted would leave a part of it, which looks like
            # damage. So it is moved out of the way in one piece first; see `_record`.
            todelete_subdir=None if keep is None else DELETED,
            lightweight_initialize=True,  # scores may be damaged: they are read after the choice
        )
        self._read_only = keep is None
        try:
            self._manager = ocp.CheckpointManager(
                self._directory, options=options, item_names=ITEMS
            )
        except (OSError, ValueError) as error:  # no permission
            raise CheckpointError(f"cannot open {self._directory}: {error}") from error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="earth_embed_checksums")
        self._recorded: Future[None] | None = None

    def save(self, state: TrainState, score: float) -> None:
        """Starts saving a state; training goes on while it is written.

        An unfinished checkpoint has a temporary name and is never taken for a whole one.

        Raises:
            CheckpointError: the disk is full or cannot be written.
        """
        self.wait()
        step = int(state.step)
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            location=ocp.args.StandardSave(state.params[LOCATION]),
        )
        try:
            self._manager.save(step, args=items, metrics={SCORE: score})
        except Exception as error:
            raise self._save_failure(error) from error
        self._recorded = self._thread.submit(self._record, step)

    def wait(self) -> None:
        """Returns once every checkpoint is whole on disk, and its checksums too.

        Raises:
            CheckpointError: one could not be written.
        """
        try:
            self._manager.wait_until_finished()
            if self._recorded is not None:
                recorded, self._recorded = self._recorded, None
                recorded.result()
        except Exception as error:
            raise self._save_failure(error) from error

    def close(self) -> None:
        """Waits, then frees the threads."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
        self._manager.close()

    def latest_step(self) -> int | None:
        """The step of the last whole checkpoint."""
        return self._manager.latest_step()

    def folder(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self._directory / str(step)

    def restore_state(self, like: Any) -> TrainState:
        """The newest state that is as it was saved.

        Checkpoints that are damaged or do not fit are named in a `FaultWarning` each and, if this
        object may write, moved aside: 600 becomes 600.damaged, and the run can save it again.

        Args:
            like: Its shapes, dtypes and shardings.

        Raises:
            CheckpointError: there is none, or all are damaged or of another model; nothing is moved
                then.
        """
        state, refused = self._restore("state", like, "last")
        if not self._read_only:
            from_main(lambda: self._tidy(refused))
            self._manager.reload()
        return state

    def restore_location(self, like: Any, which: str = "last") -> Any:
        """The location encoder's parameters, of the `last` or the `best` checkpoint.

        Damage to anything else in a checkpoint does not matter here.

        Raises:
            CheckpointError: as in `restore_state`.
        """
        return self._restore("location", like, which)[0]

    def _restore(self, item: str, like: Any, which: str) -> tuple[Any, dict[int, str]]:
        """An item of the first choice that restores, and what is wrong with those passed over."""
        args = ocp.args.Composite(**{item: ocp.args.StandardRestore(like)})
        others = [] if item == "state" else [other for other in ITEMS if other != item]
        refused: dict[int, str] = {}
        while True:
            step, refused = self._choose(which, refused, others)
            if step is None:
                raise self._none_left(refused)
            fault = None
            try:
                value = jax.block_until_ready(self._manager.restore(step, args=args)[item])
            except Exception as error:
                fault = f"cannot be restored: {cause(error)}"
            if fault := in_any(fault):
                refused[step] = fault
                continue
            for other, fault in sorted(refused.items(), reverse=True):
                distance = f"{abs(other - step)} steps {'earlier' if other > step else 'later'}"
                warnings.warn(
                    f"checkpoint {other} {fault}; using checkpoint {step}, {distance}",
                    FaultWarning,
                    stacklevel=4,
                )
            return value, refused

    def _choose(self, which: str, refused: dict[int, str], others: list[str]) -> Choice:
        """`choose`, of all processes the same."""

        def chosen() -> list[Any]:
            thorough = not self._read_only
            step, faults = choose(self._directory, which, refused, others, thorough)
            return [step, list(faults.items())]

        step, faults = from_main(chosen)
        return Choice(step, dict(faults))

    def _none_left(self, refused: Mapping[int, str]) -> CheckpointError:
        if not refused:
            return CheckpointError(f"no checkpoint in {self._directory}: has the run been trained?")
        faults = [f"checkpoint {step} {fault}" for step, fault in sorted(refused.items())]
        return CheckpointError(
            f"no checkpoint in {self._directory} can be used; nothing was changed:\n  "
            + "\n  ".join(reversed(faults))
        )

    def _tidy(self, refused: Iterable[int]) -> None:
        for step in refused:
            self._move_aside(step)
        self._clear()

    def _move_aside(self, step: int) -> None:
        folder = self.folder(step)
        endings = itertools.chain([""], map(str, itertools.count(2)))
        names = (f"{step}.damaged{ending}" for ending in endings)
        aside = next(path for path in map(folder.with_name, names) if not path.exists())
        try:
            folder.rename(aside)
        except OSError as error:
            raise CheckpointError(
                f"cannot move the damaged {folder} to {aside}: {error.strerror}"
            ) from error

    def _record(self, step: int) -> None:
        """In a thread of its own: writes the manifest as soon as the checkpoint is whole."""
        try:
            self._manager.wait_until_finished()
        except Exception:  # `wait` raises it too, in the thread that trains
            return
        if is_main():
            write_manifest(self.folder(step))
            self._clear()

    def _clear(self) -> None:
        """Deletes what remains of checkpoints that are kept no longer."""
        shutil.rmtree(self._directory / DELETED, ignore_errors=True)
        drop_manifests(self._directory, steps_in(self._directory))

    def _save_failure(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"cannot save a checkpoint in {self._directory}: {cause(error)}\n"
            "The checkpoints saved before it are untouched."
        )


def _score(metrics: Mapping[str, float]) -> float:
    return metrics[SCORE]


def cause(error: Exception) -> str:
    """What an error says, in one line.

    TensorStore appends its whole specification, and begins with what it was doing.
    """
    lines = re.split(r" \[\w+(?:\[\d+\])?='", str(error).strip())[0].splitlines()
    cause = lines[0] if lines else type(error).__name__
    return cause if len(cause) <= 300 else f"{cause[:120]} … {cause[-160:]}"
