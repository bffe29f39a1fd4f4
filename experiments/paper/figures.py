"""Figures of a finished sweep: scores, scores by label count, loss curves."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from sweep import Sweep

from earth_embed.evaluation.results import INTERPOLATION, MEAN
from earth_embed.evaluation.scores import mean_interval


def draw_scores(sweep: Sweep) -> Figure:
    """The mean over tasks of every row, with 95 % intervals over splits.

    The axis starts just below the raw harmonics; the values of rows further left are written out.
    """
    rows = sweep.rows
    figure = Figure(figsize=(10, 0.28 * len(rows) + 1.2), layout="constrained")
    at = np.arange(len(rows))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, split in zip(panels, (sweep.splits[0], sweep.splits[-1]), strict=True):
        intervals = [mean_interval(sweep.scores(row, split, MEAN).mean(axis=0)) for row in rows]
        means = np.array([interval.mean for interval in intervals])
        widths = np.array([interval.half_width or 0.0 for interval in intervals])
        bar = means[[row.feature == INTERPOLATION for row in rows]].item()
        left = min(means[[row.feature.startswith("harmonics") for row in rows]].item(), bar) - 0.02
        axes.errorbar(means, at, xerr=widths, fmt="o", ms=4, lw=1, color="#23618f")
        axes.axvline(bar, lw=1, ls="--", color="#c0392b", label=INTERPOLATION)
        for i in np.flatnonzero(means < left):
            axes.annotate(f"← {means[i]:.3f}", (left, at[i]), fontsize=7, va="center")
        axes.set(title=f"{split}, {sweep.probe}, all labels", xlabel="mean over tasks")
        axes.set_xlim(left, max(means + widths) + 0.02)
        axes.grid(alpha=0.3)
        axes.set_yticks(at, [row.feature for row in rows], fontsize=8)
    axes.legend(frameon=False, fontsize=8)
    axes.invert_yaxis()
    return figure


def draw_labels(sweep: Sweep) -> Figure:
    """Score by label count at held-out blocks, one panel per task."""
    split = sweep.splits[-1]
    figure = Figure(figsize=(14, 7.5), layout="constrained")
    grid = figure.subplots(2, -(-len(sweep.columns) // 2), squeeze=False)
    for axes, task in zip(grid.flat, sweep.columns, strict=False):
        counts = sweep.label_counts(task)
        x = [sweep.mean_train(task) if count is None else count for count in counts]
        ends = []
        for i, row in enumerate(sweep.rows):
            y = [sweep.scores(row, split, task, count).mean() for count in counts]
            style = ("-", "--", ":", "-.")[i // 10 % 4]
            axes.plot(x, y, style, color=f"C{i % 10}", lw=1, marker=".", label=row.feature)
            ends.append(y[-1])
        axes.set(title=task.replace("_", " "), xscale="log")
        axes.set_ylim(max(-0.2, np.median(ends) - 0.4), max(ends) + 0.05)
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(sweep.columns) :]:
        axes.axis("off")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right", fontsize=7, frameon=False)
    figure.suptitle(f"{sweep.probe} probe at {split} by training labels", fontsize=11)
    return figure


def draw_losses(sweep: Sweep) -> Figure:
    """Training loss and each modality's validation loss by epoch, one panel per run."""
    columns = 5
    rows = -(-len(sweep.epochs) // columns)
    figure = Figure(figsize=(15, 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, epoch) in zip(grid.flat, sweep.epochs.items(), strict=False):
        scale = np.array([epoch, 1.0])
        for curve in sweep.metrics(name, "loss"):
            axes.plot(*(curve / scale).T, lw=0.5, color="0.7")
        for i, modality in enumerate(sweep.modalities(name)):
            for j, curve in enumerate(sweep.metrics(name, f"validation_loss/{modality}")):
                label = None if j else modality
                axes.plot(*(curve / scale).T, lw=0.9, color=f"C{i}", label=label)
        axes.set_title(name, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=6, frameon=False)
        axes.grid(alpha=0.3)
    for axes in list(grid.flat)[len(sweep.epochs) :]:
        axes.axis("off")
    figure.suptitle("training loss (grey) and validation loss by epoch, each seed", fontsize=11)
    return figure
