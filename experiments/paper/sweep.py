"""A finished sweep: its scores and training curves, and the file of all its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tables import INTERVALS, Scores, all_labels, by_labels, gains, header, heading, words

from earth_embed.errors import DataError
from earth_embed.evaluation.results import MEAN, Row
from earth_embed.training.records import read_metrics


@dataclass(frozen=True)
class Sweep(Scores):
    """Runs at several training seeds, and their scores under one probe.

    Attributes:
        out: Folder of the runs; seed I's run NAME is in seedI/NAME.
        epochs: Steps per epoch of each run, by name.
        seeds: Training seeds, one for each of `results`.
    """

    out: Path
    epochs: dict[str, float]
    seeds: tuple[int, ...]

    def metrics(self, name: str, metric: str) -> list[np.ndarray]:
        """(points, 2) step and value of a metric, for each training seed.

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


def write_tables(sweep: Sweep, comparisons: Sequence[tuple[str, str]]) -> str:
    """All tables, in Markdown.

    Args:
        sweep: The sweep.
        comparisons: Pairs of runs, the first to be compared with the second.
    """
    lines = [heading(sweep), "", "**All labels**", "", *all_labels(sweep)]
    for task in sweep.columns:
        lines += ["", f"**{words(task)}, by training labels**", "", *by_labels(sweep, task)]
    lines += ["", f"**Paired differences at {sweep.splits[-1]}**", "", *gains(sweep, comparisons)]
    lines += ["", INTERVALS, "", "**Stability**", "", *stability(sweep), ""]
    return "\n".join(lines)


def stability(sweep: Sweep) -> list[str]:
    """How steadily each run trained: a row for each of its modalities, means over training seeds.

    The peak of a curve is its largest rise above its own earlier minimum. Validation losses are
    comparable: asymmetric NT-Xent within the modality for all runs. Training losses are not, since
    the loss or the batch differs between methods; they are only drawn.
    """
    headings = ("validation loss, last", "least", "peak", "score's deviation between seeds")
    lines = header("run, modality", headings)
    for name in sweep.epochs:
        scores = sweep.scores(Row(name, sweep.probe), sweep.splits[-1], MEAN).mean(axis=1)
        deviation = f"{scores.std(ddof=1):.4f}" if len(scores) > 1 else ""
        for modality in sweep.modalities(name):
            curves = [c[:, 1] for c in sweep.metrics(name, f"validation_loss/{modality}")]
            ends = [(curve[-1], curve.min(), rise(curve)) for curve in curves]
            cells = [f"{value:.2f}" for value in np.mean(ends, axis=0)]
            lines.append(f"| {name}, {modality} | {' | '.join(cells)} | {deviation} |")
    return lines


def rise(curve: np.ndarray) -> float:
    """The largest rise of a curve (n,) above its own earlier minimum."""
    return float((curve - np.minimum.accumulate(curve)).max())
