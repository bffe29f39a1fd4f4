"""Evaluates a run beside its baselines and writes the scores into its directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np
from markupsafe import Markup

from earth_embed.coordinates import unit_vector
from earth_embed.encoders.harmonics.basis import spherical_harmonics
from earth_embed.encoders.location import harmonics_in
from earth_embed.errors import ConfigError
from earth_embed.evaluation.protocol import evaluate, out_of_block
from earth_embed.evaluation.report import print_summary, write_report
from earth_embed.evaluation.results import HARMONICS, MEAN, UNTRAINED, Results, join
from earth_embed.evaluation.settings import Settings
from earth_embed.pretrained.encoder import load, untrained
from earth_embed.progress import phase
from earth_embed.tasks.labels import Labels, Target, load_labels, refuse_leaks
from earth_embed.tasks.user_tasks import Task, at_the_same_places, read_task
from earth_embed.training.run_dir import output_folder

USUAL_DEGREE, MAX_DEGREE = 15, 40
"""L of the baseline for an encoder without harmonics, and the maximum: a ridge regression must cope
with L² features."""


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
    diagnosis: Markup | None = None,
    unverified: bool = False,
) -> Results:
    """Evaluates a run; writes results.json and report.html into RUN/evaluation.

    Rasters and polygons are scored at the places of the built-in labels, so that all tasks share
    their splits. These places were drawn uniformly by area on land, and no data set of this package
    shows them.

    Args:
        run_dir: Directory of the run.
        split: Split of the labels: "test" for scores to publish, "validation" to choose settings.
        which: "last" or "best" checkpoint.
        data_dir: Directory of TFDS data sets; None for TFDS's default.
        label_config: Config of the labels, "full", "large" or "tiny".
        settings: What to run; None for the defaults.
        own_tasks: Tasks from the user's files, besides those of the settings. A task with the name
            of a built-in one replaces it.
        extra_runs: Further runs, as rows of the same tables.
        diagnosis: Section of the report on what limits the run, from
            `diagnosis.results.read_section`.
        unverified: Use the newest checkpoints that can be read, whatever their checksums.

    Returns:
        The scores, which are also printed.

    Raises:
        ConfigError: a task is unknown, there is none, or two runs' directories share a name.
        DataError: one of the runs was trained on a task, or a task's file cannot be used.
        RunError: there is no run, or it cannot be written.
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
        encoders[name] = load(directory, which, unverified)
    with phase("opening the labels"):
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
        with phase(f"embedding {len(part.lonlat):,} places"):
            features = baselines(run_dir, part.lonlat)
            for name, encoder in encoders.items():
                features[name] = np.asarray(encoder(part.lonlat))
        # First, because it is quick and refuses places that lie too close together for blocks.
        with phase("predicting the maps"):
            predictions |= out_of_block(
                features[run], part, part.targets.values(), settings.block_degrees[0]
            )
        parts.append(evaluate(features, part, settings, name=run))
    results = dataclasses.replace(join(parts), scored=scored)
    try:
        results.save(folder / "results.json")
        with phase("drawing the report"):
            write_report(folder / "report.html", results, labels, predictions, diagnosis)
    finally:  # a full disk leaves the scores in the terminal
        print_summary(results)
    return results


def baselines(run: str | Path, lonlat: np.ndarray) -> dict[str, np.ndarray]:
    """Features that need no training.

    Args:
        run: Directory of the run.
        lonlat: (N, 2), degrees.

    Returns:
        Name → (N, D) float32: the unit vector; the L² raw spherical harmonics, with the run's own L
        but at most 40, or 15 if its encoder has no harmonics; and the run's location encoder before
        training.
    """
    start = untrained(run)
    own = [harmonics.degree for harmonics in harmonics_in(start.experiment.location)]
    degree = min(max(own, default=USUAL_DEGREE), MAX_DEGREE)
    harmonics = spherical_harmonics(jnp.asarray(lonlat, jnp.float32), degree)
    return {
        "unit vector": unit_vector(lonlat).astype(np.float32),
        f"{HARMONICS}{degree}": np.asarray(harmonics),
        UNTRAINED: np.asarray(start(lonlat)),
    }


def select_targets(labels: Labels, tasks: tuple[str, ...]) -> dict[str, Target]:
    """The targets of the tasks.

    Raises:
        ConfigError: a task is unknown.
    """
    unknown = [task for task in tasks if task not in labels.targets]
    if unknown:
        raise ConfigError(f"no task {unknown}: expected some of {sorted(labels.targets)}")
    return {task: labels.targets[task] for task in tasks}


def _read_labels(labels: Labels, settings: Settings, own_tasks: Sequence[Task]) -> list[Labels]:
    """Built-in and own tasks, one `Labels` for each set of places."""
    own = [task.name for task in own_tasks]
    built_in = select_targets(labels, tuple(task for task in settings.tasks if task not in own))
    if not (own or built_in):
        raise ConfigError("no task: expected one of the package's or of your own")
    if MEAN in own:
        raise ConfigError(f"a task named {MEAN!r}: expected a name other than that of the mean")
    parts = [Labels(labels.lonlat, built_in)] if built_in else []
    for task in own_tasks:
        part = read_task(task, labels.lonlat)
        if task.name in labels.targets:  # the same layer from another file
            target: Target = part.targets[task.name]
            layers = target.layers | labels.targets[task.name].layers
            part = Labels(part.lonlat, {task.name: dataclasses.replace(target, layers=layers)})
        parts.append(part)
    return at_the_same_places(parts)


def _make_folder(run_dir: Path, scored: dict[str, str], own_tasks: Sequence[Task]) -> Path:
    """Makes the folder of the results, before the work: an unwritable run fails at once.

    Scores to publish go to RUN/evaluation. All others, and those with tasks of the user's own, get
    a folder inside it, so that a quick look never overwrites scores to publish.
    """
    folder = run_dir / "evaluation"
    if own_tasks or scored != {"labels": "test/full", "checkpoint": "last"}:
        own = [task.name for task in own_tasks]
        folder /= "-".join([scored["labels"].replace("/", "-"), scored["checkpoint"], *own])
    return output_folder(folder)
