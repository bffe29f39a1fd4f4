"""Tables and figures of a finished sweep: scores, paired differences, curves, stability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from earth_embed.evaluation.results import INTERPOLATION, MEAN, Results, Row
from earth_embed.evaluation.scores import Interval, mean_interval, paired_difference
from earth_embed.files import atomic_output, write_text
from earth_embed.training.records import read_metrics


@dataclass(frozen=True)
class Sweep:
    """What a sweep left behind.

    Attributes:
        out: Where the run NAME of seed I lies in seedI/NAME.
        names: The runs of each seed.
        seeds: Training seeds.
        results: The evaluation of each seed.
    """

    out: Path
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    results: tuple[Results, ...]

    def scores(self, row: Row, split: str, task: str, labels: int | None = None) -> np.ndarray:
        """(training seeds, fold seeds) scores."""
        return np.array([r.scores(row, split, task, labels=labels) for r in self.results])

    def metrics(self, name: str, metric: str) -> list[np.ndarray]:
        """(points, 2) step and value of a metric, of each training seed."""
        found = []
        for seed in self.seeds:
            lines = read_metrics(self.out / f"seed{seed}" / name)
            points = [(line["step"], line[metric]) for line in lines if metric in line]
            found.append(np.array(points, np.float64).reshape(-1, 2))
        return found

    def modalities(self, name: str) -> list[str]:
        """The modalities of a run, as its validation names them."""
        prefix = "validation_loss/"
        lines = read_metrics(self.out / f"seed{self.seeds[0]}" / name)
        found = {key.removeprefix(prefix) for line in lines for key in line if prefix in key}
        return sorted(found)


def write_results(folder: Path, sweep: Sweep, comparisons: Sequence[tuple[str, str]]) -> str:
    """Writes results.md, scores.png, labels.png and losses.png.

    Args:
        folder: Where they go.
        sweep: The sweep.
        comparisons: Pairs of runs, the first to be compared with the second.

    Returns:
        The text of results.md.
    """
    text = "\n".join([all_labels(sweep), by_labels(sweep), gains(sweep, comparisons), peaks(sweep)])
    write_text(folder / "results.md", text)
    figures = {"scores": draw_scores(sweep), "labels": draw_labels(sweep)}
    figures["losses"] = draw_losses(sweep)
    for name, figure in figures.items():
        with atomic_output(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=100)
    return text


def all_labels(sweep: Sweep) -> str:
    """Every task with all labels, one table a probe."""
    first = sweep.results[0]
    columns = (*first.kinds, MEAN)
    lines = []
    for probe in first.settings.probes:
        lines += [f"**{probe} probe, all labels: {' / '.join(first.settings.splits)}**\n"]
        lines += _header("features", columns)
        for row in _rows(sweep, probe):
            cells = [
                " / ".join(f"{sweep.scores(row, s, c).mean():.3f}" for s in first.settings.splits)
                for c in columns
            ]
            lines.append(f"| {row.feature} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def by_labels(sweep: Sweep) -> str:
    """The mean over tasks by label count."""
    first = sweep.results[0]
    lines = []
    for probe in first.settings.probes:
        rows = _rows(sweep, probe)
        counts = first.label_counts(rows[0], first.settings.splits[0], MEAN)
        names = ["all" if count is None else f"{count:,}" for count in counts]
        lines += [f"**{probe} probe, mean over tasks by labels: {_both(first)}**\n"]
        lines += _header("features", names)
        for row in rows:
            cells = [
                " / ".join(
                    f"{sweep.scores(row, s, MEAN, count).mean():.3f}" for s in first.settings.splits
                )
                for count in counts
            ]
            lines.append(f"| {row.feature} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def gains(sweep: Sweep, comparisons: Sequence[tuple[str, str]]) -> str:
    """Paired differences at held-out blocks: mean, interval, and how often above 0.

    The interval is over fold seeds, each the mean over training seeds: training seeds share their
    splits, so only the splits count as independent. The count is over all pairs of the two.
    """
    first = sweep.results[0]
    columns = (*first.kinds, MEAN)
    split = first.settings.splits[-1]
    lines = []
    for probe in first.settings.probes:
        lines += [f"**{probe} probe, paired differences at {split}**\n"]
        lines += _header("first minus second", columns)
        for one, other in comparisons:
            cells = []
            for column in columns:
                pair = [sweep.scores(Row(name, probe), split, column) for name in (one, other)]
                gain = paired_difference(*(scores.mean(axis=0) for scores in pair))
                above = int((pair[0] > pair[1]).sum())
                cells.append(f"{_signed(gain)} ({above}/{pair[0].size})")
            lines.append(f"| {one} − {other} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def peaks(sweep: Sweep) -> str:
    """How steadily each run trained.

    The peak of a curve is its largest rise above its own earlier minimum.
    """
    lines = ["**Stability: mean over training seeds**\n"]
    headings = ("training loss, last", "peak of validation loss", "validation loss, last / least")
    lines += _header("run", (*headings, "deviation of the score between seeds"))
    first = sweep.results[0]
    split, probe = first.settings.splits[-1], first.settings.probes[0]
    for name in sweep.names:
        training = np.mean([curve[-1, 1] for curve in sweep.metrics(name, "loss")])
        rises, ends = [], []
        for modality in sweep.modalities(name):
            curves = [c[:, 1] for c in sweep.metrics(name, f"validation_loss/{modality}")]
            rises.append(f"{modality} {np.mean([rise(curve) for curve in curves]):.2f}")
            last, least = (np.mean([f(c) for c in curves]) for f in (lambda c: c[-1], np.min))
            ends.append(f"{modality} {last:.2f} / {least:.2f}")
        scores = sweep.scores(Row(name, probe), split, MEAN).mean(axis=1)
        deviation = f"{scores.std(ddof=1):.4f}" if len(scores) > 1 else ""
        cells = (f"{training:.2f}", ", ".join(rises), ", ".join(ends), deviation)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def rise(curve: np.ndarray) -> float:
    """The largest rise of a curve (n,) above its own earlier minimum."""
    return float((curve - np.minimum.accumulate(curve)).max())


def draw_scores(sweep: Sweep) -> Figure:
    """The mean over tasks of every row, with 95 % intervals over fold seeds."""
    first = sweep.results[0]
    probe = first.settings.probes[0]
    rows = _rows(sweep, probe)
    figure = Figure(figsize=(10, 0.28 * len(rows) + 1.2), layout="constrained")
    at = np.arange(len(rows))
    for axes, split in zip(figure.subplots(1, 2, sharey=True), _ends(first), strict=True):
        intervals = [mean_interval(sweep.scores(row, split, MEAN).mean(axis=0)) for row in rows]
        means = [interval.mean for interval in intervals]
        widths = [interval.half_width or 0.0 for interval in intervals]
        axes.errorbar(means, at, xerr=widths, fmt="o", ms=4, lw=1, color="#23618f")
        axes.axvline(means[0], lw=1, ls="--", color="#c0392b", label=INTERPOLATION)
        axes.set(title=f"{split}, {probe}, all labels", xlabel="mean over tasks")
        low = min(mean for mean in means if mean > 0.3) if max(means) > 0.3 else min(means)
        axes.set_xlim(low - 0.02, max(np.add(means, widths)) + 0.02)
        axes.grid(alpha=0.3)
        axes.set_yticks(at, [row.feature for row in rows], fontsize=8)
    axes.legend(frameon=False, fontsize=8)
    axes.invert_yaxis()
    return figure


def draw_labels(sweep: Sweep) -> Figure:
    """Score by label count at held-out blocks, a panel for each task."""
    first = sweep.results[0]
    split, probe = first.settings.splits[-1], first.settings.probes[0]
    tasks = (*first.kinds, MEAN)
    figure = Figure(figsize=(14, 6.5), layout="constrained")
    grid = figure.subplots(2, -(-len(tasks) // 2), squeeze=False)
    rows = _rows(sweep, probe)
    for axes, task in zip(grid.flat, tasks, strict=False):
        for i, row in enumerate(rows):
            counts = first.label_counts(row, split, task)
            x = [first.mean_train(split, task) if count is None else count for count in counts]
            y = [sweep.scores(row, split, task, count).mean() for count in counts]
            style = ("-", "--", ":", "-.")[i // 10 % 4]
            axes.plot(x, y, style, color=f"C{i % 10}", lw=1, marker=".", label=row.feature)
        axes.set(title=task.replace("_", " "), xscale="log")
        ends = [sweep.scores(row, split, task).mean() for row in rows]
        axes.set_ylim(max(-0.2, min(ends) - 0.3), max(ends) + 0.05)
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(tasks) :]:
        axes.axis("off")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right", fontsize=7, frameon=False)
    figure.suptitle(f"{probe} probe at {split} by training labels", fontsize=11)
    return figure


def draw_losses(sweep: Sweep) -> Figure:
    """Training loss, and validation loss of each modality, of every run and training seed."""
    columns = 5
    rows = -(-len(sweep.names) // columns)
    figure = Figure(figsize=(15, 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, name in zip(grid.flat, sweep.names, strict=False):
        for curve in sweep.metrics(name, "loss"):
            axes.plot(*curve.T, lw=0.5, color="0.7")
        for i, modality in enumerate(sweep.modalities(name)):
            for j, curve in enumerate(sweep.metrics(name, f"validation_loss/{modality}")):
                axes.plot(*curve.T, lw=0.9, color=f"C{i}", label=None if j else modality)
        axes.set_title(name, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=6, frameon=False)
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(sweep.names) :]:
        axes.axis("off")
    figure.suptitle("training loss (grey) and validation loss by step, each seed", fontsize=11)
    return figure


def _rows(sweep: Sweep, probe: str) -> list[Row]:
    """Interpolation, then the rows of one probe."""
    return [r for r in sweep.results[0].rows if r.probe == probe or r.feature == INTERPOLATION]


def _ends(results: Results) -> tuple[str, str]:
    return results.settings.splits[0], results.settings.splits[-1]


def _both(results: Results) -> str:
    return " / ".join(results.settings.splits)


def _header(first: str, columns: Sequence[str]) -> list[str]:
    names = " | ".join(column.replace("_", " ") for column in columns)
    return [f"| {first} | {names} |", "|---" * (len(columns) + 1) + "|"]


def _signed(gain: Interval) -> str:
    width = "" if gain.half_width is None else f" ± {gain.half_width:.3f}"
    return f"{gain.mean:+.3f}{width}"
