"""The scores of an evaluation, one record a split, and what they say together."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earth_embed.errors import DataError
from earth_embed.evaluation.scores import HEADLINE, Interval, Kind, mean_interval, paired_difference
from earth_embed.evaluation.settings import Settings
from earth_embed.evaluation.splits import SplitKind
from earth_embed.files import write_text
from earth_embed.versions import package_versions

INTERPOLATION = "label interpolation"
MEAN = "mean"
"""Stands for the mean over tasks where a task is expected."""


@dataclass(frozen=True)
class Row:
    """A row of the tables: features and the probe on them (interpolation needs none)."""

    feature: str
    probe: str


@dataclass(frozen=True)
class Record:
    """The scores of one fit.

    Attributes:
        task: Label predicted.
        feature: Name of the features, or INTERPOLATION.
        probe: "ridge", "mlp", or "idw".
        split: "random" or "block".
        seed: Seed of the split.
        labels: Training labels asked for; None for all.
        train: Training labels there were.
        test: Places that scored the fit.
        scores: {"r2"} or {"accuracy", "macro_f1"}.
    """

    task: str
    feature: str
    probe: str
    split: SplitKind
    seed: int
    labels: int | None
    train: int
    test: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Results:
    """Every record of one evaluation.

    Attributes:
        name: The run that is evaluated: one of the features.
        settings: What was run.
        kinds: Kind of each task, in the order of the tables.
        records: One a task, row, split, seed and label count.
        scored: What was scored: the split and set of the labels, and the checkpoint.
        versions: Versions of the packages that made them.
    """

    name: str
    settings: Settings
    kinds: dict[str, Kind]
    records: tuple[Record, ...]
    scored: dict[str, str] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=package_versions)

    @functools.cached_property
    def rows(self) -> tuple[Row, ...]:
        """Rows of the tables, in the order of evaluation."""
        return tuple(dict.fromkeys(Row(r.feature, r.probe) for r in self.records))

    @functools.cached_property
    def _by_split(self) -> dict[tuple[Row, SplitKind, str, int | None], list[dict[str, float]]]:
        """Scores of each seed, seeds in order."""
        found: dict[tuple[Row, SplitKind, str, int | None], list[dict[str, float]]] = {}
        for record in sorted(self.records, key=lambda record: record.seed):
            key = (Row(record.feature, record.probe), record.split, record.task, record.labels)
            found.setdefault(key, []).append(record.scores)
        return found

    def label_counts(self, row: Row, split: SplitKind) -> list[int | None]:
        """Label counts at which a row was fitted, ascending; None (all) last."""
        counts = {key[3] for key in self._by_split if key[:2] == (row, split)}
        return sorted(counts, key=lambda count: np.inf if count is None else count)

    def mean_train(self, split: SplitKind) -> float:
        """Mean number of training labels when all are kept."""
        return float(
            np.mean([r.train for r in self.records if r.split == split and r.labels is None])
        )

    def scores(
        self,
        row: Row,
        split: SplitKind,
        task: str,
        *,
        labels: int | None = None,
        metric: str | None = None,
    ) -> np.ndarray:
        """The scores of one row, one a seed.

        Args:
            row: Features and probe.
            split: "random" or "block".
            task: A task, or MEAN for the mean over tasks, seed by seed.
            labels: Training labels asked for; None for all.
            metric: "r2", "accuracy" or "macro_f1"; None for R² or accuracy, as the task has it.
        """
        tasks = tuple(self.kinds) if task == MEAN else (task,)
        by_task = [
            [scores[metric or HEADLINE[self.kinds[name]]] for scores in by_seed]
            for name in tasks
            for by_seed in [self._by_split[(row, split, name, labels)]]
        ]
        return np.mean(by_task, axis=0)

    def summary(self, split: SplitKind) -> dict[Row, dict[str, Interval]]:
        """Mean and interval of each row at all labels: one for each task, and MEAN."""
        columns = (*self.kinds, MEAN)
        return {
            row: {task: mean_interval(self.scores(row, split, task)) for task in columns}
            for row in self.rows
        }

    def best(self, split: SplitKind) -> dict[str, Row]:
        """The row of the highest mean for each task, and MEAN."""
        summary = self.summary(split)
        return {
            task: max(summary, key=lambda row, task=task: summary[row][task].mean)  # type: ignore[misc]
            for task in (*self.kinds, MEAN)
        }

    def interpolation_wins(self, split: SplitKind) -> list[str]:
        """Tasks (and MEAN) where interpolation beats the run under each of its probes."""
        summary = self.summary(split)
        (bar,) = (row for row in self.rows if row.feature == INTERPOLATION)
        mine = [row for row in self.rows if row.feature == self.name]
        return [
            task
            for task in (*self.kinds, MEAN)
            if summary[bar][task].mean > max(summary[row][task].mean for row in mine)
        ]

    def gains(self, split: SplitKind) -> dict[Row, dict[str, Interval]]:
        """The run minus each of the others, paired by split, under each of the run's probes."""
        gains = {}
        for mine in (row for row in self.rows if row.feature == self.name):
            for row in self.rows:
                comparable = row.feature == INTERPOLATION or row.probe == mine.probe
                if row.feature == self.name or not comparable:
                    continue
                gains[Row(row.feature, mine.probe)] = {
                    task: paired_difference(
                        self.scores(mine, split, task), self.scores(row, split, task)
                    )
                    for task in (*self.kinds, MEAN)
                }
        return gains

    def save(self, path: Path) -> None:
        """Writes the results as JSON, whole or not at all.

        Raises:
            EarthEmbedError: the file cannot be written.
        """
        write_text(path, json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n")


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
            scored=values["scored"],
            versions=values["versions"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no results file of an evaluation: {error}") from error
