"""Evaluates a run beside its baselines, and writes what it finds into the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from earth_embed.data.labels import load_labels, refuse_leaks
from earth_embed.errors import ConfigError, RunError
from earth_embed.evaluation.baselines import baselines
from earth_embed.evaluation.protocol import evaluate, out_of_block, select_targets
from earth_embed.evaluation.report import write_report
from earth_embed.evaluation.results import Results
from earth_embed.evaluation.settings import Settings
from earth_embed.evaluation.tables import print_summary
from earth_embed.pretrained import load


def evaluate_run(
    run_dir: str | Path,
    *,
    split: Literal["validation", "test"] = "test",
    which: str = "last",
    data_dir: str | Path | None = None,
    label_config: str = "full",
    settings: Settings | None = None,
    extra_runs: Sequence[str | Path] = (),
) -> Results:
    """Evaluates a run; writes results.json and report.html into its folder evaluation.

    Args:
        run_dir: Directory of the run.
        split: Split of the labels: "test" for scores to publish, "validation" to choose settings.
        which: "last" or "best" checkpoint.
        data_dir: Where TFDS keeps its data; None for its default.
        label_config: Config of the labels, "full" or "tiny".
        settings: What to run; None for the defaults.
        extra_runs: Further runs, rows of the same tables.

    Returns:
        The scores, which are also printed.

    Raises:
        ConfigError: an unknown task, or two runs in directories of one name.
        DataError: a task that one of the runs was trained on.
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
    labels = load_labels(split, label_config, data_dir)
    targets = select_targets(labels, settings.tasks)
    for encoder in encoders.values():
        refuse_leaks(targets, encoder.experiment.shown_layers)

    scored = {"labels": f"{split}/{label_config}", "checkpoint": which}
    folder = _make_folder(Path(run_dir), scored)
    run = next(iter(encoders))
    features = baselines(run_dir, labels.lonlat)
    features |= {name: np.asarray(encoder(labels.lonlat)) for name, encoder in encoders.items()}
    results = evaluate(features, labels, settings, name=run)
    results = dataclasses.replace(results, scored=scored)
    predictions = out_of_block(features[run], labels, targets.values(), settings.block_degrees)
    results.save(folder / "results.json")
    write_report(folder / "report.html", results, labels, predictions)
    print_summary(results)
    return results


def _make_folder(run_dir: Path, scored: dict[str, str]) -> Path:
    """Makes the folder before the work, so that an unwritable run fails at once.

    Scores to publish go to RUN/evaluation, any others to a folder of their own inside it, so that
    a quick look never replaces them.
    """
    folder = run_dir / "evaluation"
    if scored != {"labels": "test/full", "checkpoint": "last"}:
        folder /= f"{scored['labels'].replace('/', '-')}-{scored['checkpoint']}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}") from error
