"""What a sweep left behind, read for tables and figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earth_embed.errors import DataError
from earth_embed.evaluation.results import INTERPOLATION, MEAN, Results, Row
from earth_embed.evaluation.settings import Settings
from earth_embed.training.records import read_metrics


@dataclass(frozen=True)
class Sweep:
    """Runs at several training seeds, and their scores under one probe.

    Attributes:
        out: Where the run NAME of seed I lies in seedI/NAME.
        epochs: The runs of each seed, and how many steps an epoch of each has.
        seeds: Training seeds.
        results: The evaluation of each seed.
    """

    out: Path
    epochs: dict[str, float]
    seeds: tuple[int, ...]
    results: tuple[Results, ...]

    @property
    def settings(self) -> Settings:
        """Those of the evaluation."""
        return self.results[0].settings

    @property
    def probe(self) -> str:
        """The probe."""
        return self.settings.probes[0]

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
        return self.results[0].rows

    def label_counts(self, task: str) -> list[int | None]:
        """Label counts, ascending; None is all."""
        run = Row(next(iter(self.epochs)), self.probe)
        return self.results[0].label_counts(run, self.splits[0], task)

    def mean_train(self, task: str) -> float:
        """Training labels where all are kept, in the last kind of split."""
        return self.results[0].mean_train(self.splits[-1], task)

    def scores(self, row: Row, split: str, task: str, labels: int | None = None) -> np.ndarray:
        """(training seeds, fold seeds) scores."""
        if row.feature == INTERPOLATION:
            row = Row(INTERPOLATION, "idw")
        return np.array([r.scores(row, split, task, labels=labels) for r in self.results])

    def mean_without(self, row: Row, split: str, left_out: str) -> np.ndarray:
        """(training seeds, fold seeds) means over all tasks but one."""
        tasks = [task for task in self.results[0].kinds if task != left_out]
        return np.mean([self.scores(row, split, task) for task in tasks], axis=0)

    def metrics(self, name: str, metric: str) -> list[np.ndarray]:
        """(points, 2) step and value of a metric, of each training seed.

        Raises:
            DataError: a run has none.
        """
        found = []
        for seed in self.seeds:
            run = self.out / f"seed{seed}" / name
            points = [(line["step"], line[metric]) for line in read_metrics(run) if metric in line]
            if not points:
                raise DataError(
                    f"no {metric!r} in {run}/metrics.jsonl: expected the whole run there"
                )
            found.append(np.array(points, np.float64))
        return found

    def modalities(self, name: str) -> list[str]:
        """The modalities of a run, as its validation names them."""
        prefix = "validation_loss/"
        lines = read_metrics(self.out / f"seed{self.seeds[0]}" / name)
        return sorted({k.removeprefix(prefix) for line in lines for k in line if prefix in k})
