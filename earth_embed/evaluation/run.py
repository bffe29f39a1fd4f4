"""Evaluates a run beside its baselines, and writes what it finds into the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np

from earth_embed.coordinates import unit_vector
from earth_embed.encoders.harmonics.basis import spherical_harmonics
from earth_embed.encoders.location import harmonics_in
from earth_embed.errors import ConfigError, RunError
from earth_embed.evaluation.protocol import evaluate, out_of_block, select_targets
from earth_embed.evaluation.report import print_summary, write_report
from earth_embed.evaluation.results import MEAN, Results, join
from earth_embed.evaluation.settings import Settings
from earth_embed.pretrained.encoder import load, untrained
from earth_embed.tasks.labels import Labels, Target, load_labels, refuse_leaks
from earth_embed.tasks.user_tasks import Task, at_the_same_places, read_task


def evaluate_run(
    run_dir: str | Path,
    *,
    split: Literal["validation", "test"] = "test",
    which: str = "last",
    data_dir: str | Path | None = None,
    label_config: str = "full",
    settings: Settings | None = None,
    own_tasks: Sequence[Task] = (),
    extra_runs: Sequence[str | Path] = (),
    diagnosis: str | None = None,
) -> Results:
    """Evaluates a run; writes results.json and report.html into its folder evaluation.

    Rasters and polygons are scored at the places of the package's labels: they were drawn uniformly
    by area on land, no data set of this package shows them, and so all tasks share their splits.

    Args:
        run_dir: Directory of the run.
        split: Split of the labels: "test" for scores to publish, "validation" to choose settings.
        which: "last" or "best" checkpoint.
        data_dir: Where TFDS keeps its data; None for its default.
        label_config: Config of the labels, "full", "large" or "tiny".
        settings: What to run; None for the defaults.
        own_tasks: Tasks from the user's files, beside those of the settings. One of the same name
            takes its place.
        extra_runs: Further runs, rows of the same tables.
        diagnosis: HTML section of the report on what limits the run; `diagnosis.read_section`
            reads it.

    Returns:
        The scores, which are also printed.

    Raises:
        ConfigError: an unknown task or none, or two runs in directories of one name.
        DataError: a task that one of the runs was trained on, or whose file cannot be used.
        RunError: no run there, or it cannot be written.
    """
    settings = settings or Settings()
    encoders = {}
    for directory in map(Path, (run_dir, *extra_runs)):
        name = directory.resolve().name
        if name in encoders:
            raise ConfigError(
                f"two runs lie in directories called {name!r}, {str(directory)!r} the second: "
                "expected distinct names in one table"
            )
        encoders[name] = load(directory, which)
    labels = _read_labels(load_labels(split, label_config, data_dir), settings, own_tasks)
    targets = {task: target for part in labels for task, target in part.targets.items()}
    for encoder in encoders.values():
        refuse_leaks(targets, encoder.experiment.shown_layers)

    scored = {"labels": f"{split}/{label_config}", "checkpoint": which}
    folder = _make_folder(Path(run_dir), scored, own_tasks)
    run = next(iter(encoders))
    parts: list[Results] = []
    predictions: dict[str, np.ndarray] = {}
    for part in labels:
        features = baselines(run_dir, part.lonlat)
        features |= {name: np.asarray(encoder(part.lonlat)) for name, encoder in encoders.items()}
        predictions |= out_of_block(  # quick, and refuses places too close for blocks
            features[run], part, part.targets.values(), settings.block_degrees[0]
        )
        parts.append(evaluate(features, part, settings, name=run))
    results = dataclasses.replace(join(parts), scored=scored)
    results.save(folder / "results.json")
    write_report(folder / "report.html", results, labels, predictions, diagnosis)
    print_summary(results)
    return results


def _read_labels(labels: Labels, settings: Settings, own_tasks: Sequence[Task]) -> list[Labels]:
    """The package's labels and the user's own, one for each set of places."""
    own = [task.name for task in own_tasks]
    built_in = select_targets(labels, tuple(task for task in settings.tasks if task not in own))
    if not (own or built_in):
        raise ConfigError("no task: expected one of the package's or of your own")
    if MEAN in own:
        raise ConfigError(f"a task named {MEAN!r}: expected a name other than that of the mean")
    parts = [Labels(labels.lonlat, built_in)] if built_in else []
    for task in own_tasks:
        part = read_task(task, labels.lonlat)
        if task.name in labels.targets:  # it asks for the same layer by another file
            target: Target = part.targets[task.name]
            layers = target.layers | labels.targets[task.name].layers
            part = Labels(part.lonlat, {task.name: dataclasses.replace(target, layers=layers)})
        parts.append(part)
    return at_the_same_places(parts)


def _make_folder(run_dir: Path, scored: dict[str, str], own_tasks: Sequence[Task]) -> Path:
    """Makes the folder before the work, so that an unwritable run fails at once.

    Scores to publish go to RUN/evaluation, any others to a folder of their own inside it, so that
    a quick look never replaces them; so do those with tasks of the user's own.
    """
    folder = run_dir / "evaluation"
    if own_tasks or scored != {"labels": "test/full", "checkpoint": "last"}:
        own = [task.name for task in own_tasks]
        folder /= "-".join([scored["labels"].replace("/", "-"), scored["checkpoint"], *own])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}") from error


USUAL_DEGREE, MOST_DEGREES = 15, 40
"""L beside an encoder without harmonics, and the most: L² features must fit a ridge regression."""


def baselines(run: str | Path, lonlat: np.ndarray) -> dict[str, np.ndarray]:
    """Features that need no training.

    Args:
        run: Directory of the run.
        lonlat: (N, 2), degrees.

    Returns:
        Name → (N, D) float32: the unit vector, the L² raw spherical harmonics of the run's own L
        (at most 40, and 15 where the run's encoder has no harmonics), and the run's location
        encoder as it was before training.
    """
    start = untrained(run)
    own = [harmonics.degree for harmonics in harmonics_in(start.experiment.location)]
    degree = min(max(own, default=USUAL_DEGREE), MOST_DEGREES)
    harmonics = spherical_harmonics(jnp.asarray(lonlat, jnp.float32), degree)
    return {
        "unit vector": unit_vector(lonlat).astype(np.float32),
        f"harmonics L={degree}": np.asarray(harmonics),
        "untrained encoder": np.asarray(start(lonlat)),
    }
