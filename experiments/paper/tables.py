"""Markdown tables of scores: every row, by label count, and paired differences between rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earth_embed.evaluation.results import INTERPOLATION, MEAN, Results, Row
from earth_embed.evaluation.scores import paired_difference
from earth_embed.evaluation.settings import Settings

INTERVALS = (
    "Each ± is the 95 % interval over the splits, of the mean over training seeds. Splits of the "
    "same places overlap, so it is somewhat too narrow. In brackets: in how many pairs of training "
    "seed and split the first is ahead."
)


@dataclass(frozen=True)
class Scores:
    """The scores of the same runs at several training seeds, under one probe.

    Attributes:
        results: The evaluation of each training seed.
        probe: The probe.
    """

    results: tuple[Results, ...]
    probe: str

    @property
    def settings(self) -> Settings:
        """Those of the evaluation."""
        return self.results[0].settings

    @property
    def splits(self) -> tuple[str, ...]:
        """Kinds of splits: random first, the largest blocks last."""
        return self.settings.splits

    @property
    def columns(self) -> tuple[str, ...]:
        """The tasks, and their mean."""
        return (*self.results[0].kinds, MEAN)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Label interpolation, the baselines and the runs."""
        rows = self.results[0].rows
        return tuple(row for row in rows if row.probe == self.probe or row.feature == INTERPOLATION)

    def row(self, feature: str) -> Row:
        """The row of some features; label interpolation has no probe."""
        return next(row for row in self.rows if row.feature == feature)

    def scores(self, row: Row, split: str, task: str, labels: int | None = None) -> np.ndarray:
        """(training seeds, fold seeds) scores."""
        return np.array([r.scores(row, split, task, labels=labels) for r in self.results])

    def mean_without(self, row: Row, split: str, left_out: str) -> np.ndarray:
        """(training seeds, fold seeds) means over all tasks except one."""
        tasks = [task for task in self.results[0].kinds if task != left_out]
        return np.mean([self.scores(row, split, task) for task in tasks], axis=0)

    def label_counts(self, task: str) -> list[int | None]:
        """Label counts, ascending; None is all."""
        return self.results[0].label_counts(self.rows[0], self.splits[0], task)

    def mean_train(self, task: str) -> float:
        """Mean number of training labels, with all labels, in the last kind of split."""
        return self.results[0].mean_train(self.splits[-1], task)


def heading(scores: Scores) -> str:
    """What the numbers are."""
    count = f"{len(scores.results)} training seeds × {scores.settings.seeds} splits"
    splits = " / ".join(scores.splits)
    return f"{scores.probe} probe, {splits}, mean over {count}; R² or accuracy."


def all_labels(scores: Scores) -> list[str]:
    """Every task with all labels."""
    lines = header("features", [words(column) for column in scores.columns])
    for row in scores.rows:
        cells = [_cell(scores, row, column) for column in scores.columns]
        lines.append(f"| {row.feature} | {' | '.join(cells)} |")
    return lines


def by_labels(scores: Scores, task: str) -> list[str]:
    """One task by label count."""
    counts = scores.label_counts(task)
    lines = header("features", ["all" if count is None else f"{count:,}" for count in counts])
    for row in scores.rows:
        cells = [_cell(scores, row, task, count) for count in counts]
        lines.append(f"| {row.feature} | {' | '.join(cells)} |")
    return lines


def gains(scores: Scores, comparisons: Sequence[tuple[str, str]]) -> list[str]:
    """Paired differences at held-out blocks: mean, interval over splits, how often above 0.

    The last column leaves out the first task, elevation, which alone can make up a gain.

    Args:
        scores: The scores.
        comparisons: Pairs of features, the first to be compared with the second.
    """
    split, first = scores.splits[-1], scores.columns[0]
    lines = header("first − second", [*map(words, scores.columns), f"mean without {words(first)}"])
    for names in comparisons:
        one, other = map(scores.row, names)
        pairs = [[scores.scores(row, split, c) for row in (one, other)] for c in scores.columns]
        pairs.append([scores.mean_without(row, split, first) for row in (one, other)])
        cells = [
            f"{paired_difference(a.mean(axis=0), b.mean(axis=0)).signed} "
            f"({int((a > b).sum())}/{a.size})"
            for a, b in pairs
        ]
        lines.append(f"| {names[0]} − {names[1]} | {' | '.join(cells)} |")
    return lines


def header(first: str, columns: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    return [f"| {first} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]


def words(name: str) -> str:
    """A task's name in words."""
    return "mean over tasks" if name == MEAN else name.replace("_", " ")


def _cell(scores: Scores, row: Row, column: str, labels: int | None = None) -> str:
    """A row's mean score in each kind of split."""
    return " / ".join(f"{scores.scores(row, s, column, labels).mean():.3f}" for s in scores.splits)
