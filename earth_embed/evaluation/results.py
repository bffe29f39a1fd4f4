"""The scores of an evaluation: one record per fit, and their summaries."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earth_embed.errors import DataError
from earth_embed.evaluation.scores import (
    HEADLINE,
    Comparison,
    Interval,
    compare,
    mean_interval,
    paired_difference,
)
from earth_embed.evaluation.settings import Settings
from earth_embed.files import write_text
from earth_embed.tasks.labels import Kind
from earth_embed.training.run_dir import package_versions

INTERPOLATION = "label interpolation"

HARMONICS, UNTRAINED = "harmonics L=", "untrained encoder"
"""Names of baselines: how that of the raw harmonics starts, and the run before training."""

MEAN = "mean"
"""Stands for the mean over tasks where a task is expected."""


@dataclass(frozen=True)
class Row:
    """A row of the tables: features and the probe on them ("idw" for label interpolation)."""

    feature: str
    probe: str


@dataclass(frozen=True)
class Record:
    """The scores of one fit.

    Attributes:
        task: Task predicted.
        feature: Name of the features, or INTERPOLATION.
        probe: "ridge", "mlp", or "idw".
        split: One of `Settings.splits`.
        seed: Seed of the split; for "continents", the number of the continent held out.
        fold: Fold of the seed's cross-validation; 0 without folds.
        labels: Training labels asked for; None for all.
        train: Training labels used.
        test: Number of test places.
        scores: See `scores.score`.
    """

    task: str
    feature: str
    probe: str
    split: str
    seed: int
    fold: int
    labels: int | None
    train: int
    test: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Places:
    """Where a task was scored.

    Attributes:
        scored: Number of places.
        source: File of a user's own task, and what was assumed about it; empty for built-in tasks.
        dropped: Number of places without a value, by reason.
    """

    scored: int
    source: str
    dropped: dict[str, int]


@dataclass(frozen=True)
class Results:
    """Every record of one evaluation.

    Attributes:
        name: The evaluated run, one of the features.
        settings: What was run.
        kinds: Kind of each task, in the order of the tables.
        records: One per task, row, split, seed, fold and label count.
        places: Where each task was scored.
        scored: Split and config of the labels, and the checkpoint.
        versions: Versions of the packages that computed the scores.
    """

    name: str
    settings: Settings
    kinds: dict[str, Kind]
    records: tuple[Record, ...]
    places: dict[str, Places]
    scored: dict[str, str] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=package_versions)

    @functools.cached_property
    def rows(self) -> tuple[Row, ...]:
        """Rows of the tables, in the order of evaluation."""
        return tuple(dict.fromkeys(Row(r.feature, r.probe) for r in self.records))

    def scores(
        self,
        row: Row,
        split: str,
        task: str,
        *,
        labels: int | None = None,
        metric: str | None = None,
    ) -> np.ndarray:
        """The scores of one row, one per seed: the mean over its folds, R² raised to the floor.

        Args:
            row: Features and probe.
            split: One of `Settings.splits`.
            task: A task, or MEAN for the mean over tasks, seed by seed. A continent without places
                of some task is left out of MEAN.
            labels: Training labels asked for; None for all.
            metric: A key of `Record.scores`; None for the task's headline, R² or accuracy.
        """
        by_task = []
        for name in self._tasks(task):
            shown = metric or HEADLINE[self.kinds[name]]
            floor = self.settings.r2_floor if shown == "r2" else None
            by_task.append(
                {
                    seed: max(
                        float(np.mean([record.scores[shown] for record in records])),
                        -np.inf if floor is None else floor,
                    )
                    for seed, records in self._by_seed[(row, split, name, labels)].items()
                }
            )
        common = sorted(set.intersection(*map(set, by_task)))
        return np.mean([[scores[seed] for seed in common] for scores in by_task], axis=0)

    def label_counts(self, row: Row, split: str, task: str) -> list[int | None]:
        """Label counts at which a row was fitted, ascending; None (all) last."""
        counts = set.intersection(
            *(
                {key[3] for key in self._by_seed if key[:3] == (row, split, name)}
                for name in self._tasks(task)
            )
        )
        return sorted(counts, key=lambda count: np.inf if count is None else count)

    def mean_train(self, split: str, task: str) -> float:
        """Mean number of training labels when all are used."""
        tasks = self._tasks(task)
        full = (r for r in self.records if r.split == split and r.labels is None)
        return float(np.mean([r.train for r in full if r.task in tasks]))

    def summary(self, split: str) -> dict[Row, dict[str, Interval]]:
        """Mean and interval of each row for each task and MEAN, with all labels."""
        return {
            row: {task: mean_interval(self.scores(row, split, task)) for task in self._columns}
            for row in self.rows
        }

    def best(self, split: str) -> dict[str, Row]:
        """The row with the highest mean for each task and MEAN."""
        summary = self.summary(split)
        return {
            task: max(summary, key=lambda row, task=task: summary[row][task].mean)  # type: ignore[misc]
            for task in self._columns
        }

    def gains(self, split: str) -> dict[Row, dict[str, Interval]]:
        """The run minus each of the others under each of the run's probes, paired by split.

        Returns:
            (other feature, the run's probe) → task → difference.
        """
        return {
            Row(other.feature, mine.probe): {
                task: paired_difference(
                    self.scores(mine, split, task), self.scores(other, split, task)
                )
                for task in self._columns
            }
            for mine in self.rows
            if mine.feature == self.name
            for other in self.rows
            if other.feature == INTERPOLATION
            or (other.feature != self.name and other.probe == mine.probe)
        }

    def verdict(self, split: str) -> dict[str, dict[str, Comparison]]:
        """How the run compares with label interpolation, the bar.

        Returns:
            Probe → task and MEAN → comparison.
        """
        bar, found = Row(INTERPOLATION, "idw"), {}
        for probe in self.settings.probes:
            mine = Row(self.name, probe)
            found[probe] = {
                task: compare(
                    self.scores(mine, split, task),
                    self.scores(bar, split, task),
                    self.scores(mine, split, task, metric="guess"),
                )
                for task in self._columns
            }
        return found

    def save(self, path: Path) -> None:
        """Writes the results as JSON with the verdict of each split, whole or not at all.

        Raises:
            EarthEmbedError: the file cannot be written.
        """
        verdict = {
            split: {
                probe: {task: dataclasses.asdict(found) for task, found in tasks.items()}
                for probe, tasks in self.verdict(split).items()
            }
            for split in self.settings.splits
        }
        values = dataclasses.asdict(self) | {"verdict": verdict}
        write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")

    @property
    def _columns(self) -> tuple[str, ...]:
        return (*self.kinds, MEAN)

    def _tasks(self, task: str) -> tuple[str, ...]:
        return tuple(self.kinds) if task == MEAN else (task,)

    @functools.cached_property
    def _by_seed(self) -> dict[tuple[Row, str, str, int | None], dict[int, list[Record]]]:
        """(row, split, task, label count) → seed → its records, by fold."""
        found: dict[tuple[Row, str, str, int | None], dict[int, list[Record]]] = {}
        for record in sorted(self.records, key=lambda record: (record.seed, record.fold)):
            key = (Row(record.feature, record.probe), record.split, record.task, record.labels)
            found.setdefault(key, {}).setdefault(record.seed, []).append(record)
        return found


def join(parts: Sequence[Results]) -> Results:
    """Joins evaluations of distinct tasks under the same settings."""
    return dataclasses.replace(
        parts[0],
        kinds={task: kind for part in parts for task, kind in part.kinds.items()},
        records=tuple(record for part in parts for record in part.records),
        places={task: places for part in parts for task, places in part.places.items()},
    )


def load_results(path: Path) -> Results:
    """Reads what `Results.save` wrote.

    Raises:
        DataError: the file is missing or is no results file.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        settings: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values["settings"].items()
        }
        return Results(
            name=values["name"],
            settings=Settings(**settings),
            kinds=values["kinds"],
            records=tuple(Record(**record) for record in values["records"]),
            places={task: Places(**places) for task, places in values["places"].items()},
            scored=values["scored"],
            versions=values["versions"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no results file of an evaluation: {error}") from error
