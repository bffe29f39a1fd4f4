"""Saves and restores a run's checkpoints with Orbax: the last k and the best.

A checkpoint holds two items: `state`, all that resuming needs, and `location`, the location
encoder's parameters, all that users of the run load. A manifest (`choice.py`) records the SHA-256
of its files and of run.json. A checkpoint that is damaged, cannot be verified or is of another
model is passed over for an older one.
"""

from __future__ import annotations

import itertools
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
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
    UNFINISHED,
    Choice,
    begin_manifest,
    choose,
    drop_manifests,
    finish_manifests,
    record_unverified,
    steps_in,
    write_manifest,
)

ITEMS = ("state", "location")

DELETED = ".deleted"
"""Where Orbax moves checkpoints before they are deleted."""

_UNRESTORED = "cannot be restored"

_UNVERIFIED = (
    "--unverified (in Python, unverified=True) uses the newest checkpoint that can be read; its "
    "numbers may be wrong"
)


class Checkpointer:
    """Saves and restores the checkpoints of one run."""

    def __init__(self, run_dir: Path, keep: int | None = None, unverified: bool = False) -> None:
        """Opens the run's checkpoints.

        Args:
            run_dir: The run.
            keep: Number of last checkpoints to keep, beside the best. None: read-only, nothing
                in the run is changed.
            unverified: Restore the newest checkpoint that can be read, whatever its checksums.

        Raises:
            CheckpointError: they cannot be listed.
        """
        self._directory = (run_dir / "checkpoints").absolute()
        self._unverified = unverified
        if keep is not None:
            from_main(lambda: finish_manifests(self._directory))
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(keep),
                preservation_policy.BestN(get_metric_fn=_score, n=1),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            best_fn=_score,
            cleanup_tmp_directories=keep is not None,  # left by a kill during a save
            create=keep is not None,
            # If a kill interrupted the deletion of an old checkpoint, the rest would look like
            # damage. So checkpoints are first moved aside whole; `_clear` deletes them.
            todelete_subdir=None if keep is None else DELETED,
            lightweight_initialize=True,  # does not read scores, which may be damaged
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
        """Starts saving a state and returns while it is being written.

        An unfinished checkpoint has a temporary name and is never used.

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
            from_main(lambda: begin_manifest(self.folder(step)))
            self._manager.save(step, args=items, metrics={SCORE: score})
        except Exception as error:
            raise self._save_failure(error) from error
        self._recorded = self._thread.submit(self._record, step)

    def wait(self) -> None:
        """Waits until every checkpoint and its manifest are complete on disk.

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
        """The step of the last complete checkpoint; None if there is none."""
        return self._manager.latest_step()

    def folder(self, step: int) -> Path:
        """The folder of a step's checkpoint."""
        return self._directory / str(step)

    def restore_state(self, like: Any) -> TrainState:
        """Restores the newest verified state.

        Each checkpoint that is not verified or does not fit gets a `FaultWarning`. Unless this
        object is read-only, it is also renamed, from 600 to 600.damaged, so that the run can save
        it again. A checkpoint that was restored unverified then gets a manifest of its files as
        they are, if its two copies of the location encoder agree; so do those of version 0.1.0.

        Args:
            like: Shapes, dtypes and shardings of the state.

        Raises:
            CheckpointError: there is no checkpoint, or none is verified and of this model; then
                nothing is renamed.
        """
        state, choice = self._restore("state", lambda _: like, "last")
        if not self._read_only:
            from_main(lambda: self._tidy(choice.refused))
            self._manager.reload()
            if choice.doubt and self._agree(choice.step, state.params[LOCATION]):
                from_main(lambda: record_unverified(self._directory, int(state.step)))
        return state

    def restore_location(self, like: Callable[[], Any], which: str = "last") -> Any:
        """Restores the location encoder's parameters from the "last" or the "best" checkpoint.

        Damage to the rest of a checkpoint does not matter.

        Args:
            like: Makes the shapes, dtypes and shardings; called once run.json is verified.
            which: "last" or "best".

        Raises:
            CheckpointError: as in `restore_state`.
        """
        return self._restore("location", lambda _: like(), which)[0]

    def restore_saved(self, sharding: jax.sharding.Sharding) -> Any:
        """Restores the newest verified state of any model, as nested dictionaries.

        Args:
            sharding: Where each array goes.

        Raises:
            CheckpointError: as in `restore_state`.
        """

        def like(folder: Path) -> Any:
            try:
                saved = ocp.StandardCheckpointHandler().metadata(folder).tree
            except Exception:  # `_check_arrays` raises it too
                return {}
            return jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), saved
            )

        return self._restore("state", like, "last")[0]

    def _restore(self, item: str, like: Callable[[Path], Any], which: str) -> tuple[Any, Choice]:
        """An item of the first choice that restores, and that choice."""
        others = [] if item == "state" else [other for other in ITEMS if other != item]
        failed: dict[int, str] = {}
        while True:
            choice = self._choose(which, failed, others)
            step, refused, doubt = choice
            if step is None:
                raise self._none_left(refused)
            fault = None
            expected = like(self.folder(step) / item)
            args = ocp.args.Composite(**{item: ocp.args.StandardRestore(expected)})
            try:
                self._check_arrays(step, item, expected)
                value = jax.block_until_ready(self._manager.restore(step, args=args)[item])
            except Exception as error:
                fault = f"{_UNRESTORED}: {cause(error)}"
            if fault := in_any(fault):
                failed[step] = fault
                continue
            for other, fault in sorted(refused.items(), reverse=True):
                if fault != UNFINISHED:
                    distance = f"{abs(other - step)} steps {'earlier' if other > step else 'later'}"
                    self._warn(f"checkpoint {other} {fault}; using checkpoint {step}, {distance}")
            if doubt:
                self._warn(f"checkpoint {step} {doubt}; using it unverified")
            return value, choice

    def _warn(self, message: str) -> None:
        warnings.warn(message, FaultWarning, stacklevel=5)

    def _check_arrays(self, step: int, item: str, like: Any) -> None:
        """Checks the names and shapes of a checkpoint's arrays before Orbax reads any.

        Orbax stops at the first array that does not fit and abandons the others, each of which then
        puts a traceback on the console.

        Raises:
            CheckpointError: an array is missing, unexpected or of another shape.
        """
        saved = ocp.StandardCheckpointHandler().metadata(self.folder(step) / item)
        found, expected = array_shapes(saved.tree), array_shapes(like)
        differing = [
            f"{name}: expected shape {expected.get(name, 'none')}, found {found.get(name, 'none')}"
            for name in expected | found
            if expected.get(name) != found.get(name)
        ]
        if differing:
            raise CheckpointError("; ".join(differing))

    def _choose(self, which: str, refused: dict[int, str], others: list[str]) -> Choice:
        """`choose` in process 0, for all processes."""

        def chosen() -> list[Any]:
            thorough = not self._read_only
            step, faults, doubt = choose(
                self._directory, which, refused, others, thorough, self._unverified
            )
            return [step, list(faults.items()), doubt]

        step, faults, doubt = from_main(chosen)
        return Choice(step, dict(faults), doubt)

    def _none_left(self, refused: Mapping[int, str]) -> CheckpointError:
        if not refused:
            return CheckpointError(f"no checkpoint in {self._directory}: has the run been trained?")
        hopeless = all(fault.startswith(_UNRESTORED) for fault in refused.values())
        faults = [f"checkpoint {step} {fault}" for step, fault in sorted(refused.items())]
        return CheckpointError(
            f"no checkpoint in {self._directory} can be used; nothing was changed:\n  "
            + "\n  ".join(reversed(faults))
            + ("" if self._unverified or hopeless else f"\n{_UNVERIFIED}")
        )

    def _agree(self, step: int | None, expected: Any) -> bool:
        """Whether a checkpoint's item `location` can be read and holds these parameters."""
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), expected
        )
        args = ocp.args.Composite(location=ocp.args.StandardRestore(like))
        try:
            found = self._manager.restore(step, args=args)["location"]
            same = jax.tree.map(lambda a, b: bool((a == b).all()), found, expected)
            fault = None if all(jax.tree.leaves(same)) else "differs"
        except Exception as error:
            fault = cause(error)
        return in_any(fault) is None

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
            if folder.exists():
                folder.rename(aside)
        except OSError as error:
            raise CheckpointError(
                f"cannot move the damaged {folder} to {aside}: {error.strerror}"
            ) from error

    def _record(self, step: int) -> None:
        """Writes the manifest once the checkpoint is complete; runs in its own thread."""
        try:
            self._manager.wait_until_finished()
        except Exception:  # `wait` raises it too, in the training thread
            return
        if is_main():
            write_manifest(self.folder(step))
            self._clear()

    def _clear(self) -> None:
        """Deletes the checkpoints that Orbax moved aside, and their manifests."""
        shutil.rmtree(self._directory / DELETED, ignore_errors=True)
        drop_manifests(self._directory, steps_in(self._directory))

    def _save_failure(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"cannot save a checkpoint in {self._directory}: {cause(error)}\n"
            "The checkpoints saved before it are untouched."
        )


def _score(metrics: Mapping[str, float]) -> float:
    return metrics[SCORE]


def array_shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Name → shape of the arrays of a tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): tuple(leaf.shape)
        for path, leaf in leaves
    }


def cause(error: Exception) -> str:
    """An error's message in one line.

    TensorStore's messages begin with what it was doing and end with its whole specification;
    Orbax's end with options that users of this package do not have.
    """
    rest = r" \[\w+(?:\[\d+\])?='|\.? Truncating/padding is disabled"
    lines = re.split(rest, str(error).strip())[0].splitlines()
    cause = lines[0] if lines else type(error).__name__
    return cause if len(cause) <= 300 else f"{cause[:120]} … {cause[-160:]}"
