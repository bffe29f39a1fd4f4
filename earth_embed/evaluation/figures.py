"""The report's figures: score against number of labels, and maps of predictions."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from earth_embed.evaluation.results import INTERPOLATION, Results, Row, column_names
from earth_embed.evaluation.scores import mean_interval
from earth_embed.tasks.labels import Target

_SEA, _LAND, _RIGHT, _WRONG = "#e8eef3", "#c9c9c4", "#b9c4b4", "#c0392b"


def label_curves(results: Results) -> Figure:
    """Score against number of training labels: one column per task, one row per kind of split."""
    columns = column_names(results)
    splits = results.settings.splits
    figure = Figure(figsize=(2.9 * len(columns), 2.8 * len(splits)), layout="constrained")
    grid = figure.subplots(len(splits), len(columns), squeeze=False, sharex=True)
    for axes_row, split in zip(grid, splits, strict=True):
        for axes, (task, heading) in zip(axes_row, columns.items(), strict=True):
            _curves(axes, results, split, task)
            axes.set_title(f"{heading}\n{split}", fontsize=9)
            axes.set_xscale("log")
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("training labels")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    return figure


def task_maps(lonlat: np.ndarray, target: Target, prediction: np.ndarray) -> Figure:
    """Maps of a target, its prediction without labels nearby, and the error.

    Args:
        lonlat: (N, 2), degrees.
        target: The target at the N places.
        prediction: (N,) values, or class ids.
    """
    figure = Figure(figsize=(15, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    titles = ("target", "prediction, own block held out", "error")
    for panel, title in zip(axes, titles, strict=True):
        _draw_land(panel, lonlat)
        panel.set_title(title, fontsize=10)
    if target.kind == "regression":
        _value_maps(figure, axes, lonlat, target, prediction)
    else:
        _class_maps(figure, axes, lonlat, target, prediction)
    return figure


def _curves(axes: Axes, results: Results, split: str, task: str) -> None:
    features = list(dict.fromkeys(row.feature for row in results.rows))
    for row in results.rows:
        counts = results.label_counts(row, split, task)
        x = [results.mean_train(split, task) if count is None else count for count in counts]
        intervals = [
            mean_interval(results.scores(row, split, task, labels=count)) for count in counts
        ]
        means = np.array([interval.mean for interval in intervals])
        widths = np.array([interval.half_width or 0.0 for interval in intervals])
        is_bar = row.feature == INTERPOLATION
        colour = "black" if is_bar else f"C{features.index(row.feature) - 1}"
        line = "--o" if is_bar else "-o" if row.probe == "ridge" else ":o"
        width = 2.2 if row.feature == results.name else 1.3
        axes.plot(x, means, line, c=colour, lw=width, ms=3, label=_row_name(row))
        if is_bar or row.feature == results.name:  # bands of all rows would hide the lines
            axes.fill_between(x, means - widths, means + widths, color=colour, alpha=0.12, lw=0)
    # Fits far below a constant guess (ridge on few labels) and wide bands would flatten the curves.
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, -0.1), min(top, 1.05))


def _row_name(row: Row) -> str:
    return row.feature if row.feature == INTERPOLATION else f"{row.feature} ({row.probe})"


def _draw_land(axes: Axes, lonlat: np.ndarray) -> None:
    """Draws the sea as background and the places as land: they all lie on land."""
    axes.set_facecolor(_SEA)
    axes.scatter(lonlat[:, 0], lonlat[:, 1], s=7, c=_LAND, marker="s", lw=0)
    south, north = lonlat[:, 1].min() - 3, lonlat[:, 1].max() + 3
    axes.set(aspect="equal", xlim=(-180, 180), ylim=(south, north), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _value_maps(
    figure: Figure, axes: np.ndarray, lonlat: np.ndarray, target: Target, prediction: np.ndarray
) -> None:
    low, high = np.percentile(target.values, [1, 99])
    error = prediction - target.values
    reach = float(np.percentile(np.abs(error), 98)) or 1.0
    panels = (
        (target.values, "viridis", low, high),
        (prediction, "viridis", low, high),
        (error, "RdBu_r", -reach, reach),
    )
    for panel, (values, colours, least, most) in zip(axes, panels, strict=True):
        points = panel.scatter(
            lonlat[:, 0],
            lonlat[:, 1],
            s=3,
            c=values,
            cmap=colours,
            vmin=least,
            vmax=most,
            marker="s",
            lw=0,
        )
        bar = figure.colorbar(points, ax=panel, orientation="horizontal", shrink=0.6, pad=0.02)
        bar.set_label(target.unit, fontsize=8)
        bar.ax.tick_params(labelsize=8)


def _class_maps(
    figure: Figure, axes: np.ndarray, lonlat: np.ndarray, target: Target, prediction: np.ndarray
) -> None:
    # Golden-ratio steps in hue: neighbouring ids get distinct colours for any number of classes.
    ids = np.arange(len(target.classes))
    hue, value = ids * 0.61803398875 % 1, 0.65 + 0.3 * (ids % 3) / 2
    colours = hsv_to_rgb(np.stack([hue, np.full(len(ids), 0.65), value], axis=1))
    for panel, classes in zip(axes, (target.values, prediction), strict=False):
        panel.scatter(lonlat[:, 0], lonlat[:, 1], s=3, c=colours[classes], marker="s", lw=0)
    wrong = prediction != target.values
    axes[2].scatter(
        lonlat[:, 0], lonlat[:, 1], s=3, c=np.where(wrong, _WRONG, _RIGHT), marker="s", lw=0
    )
    common = np.argsort(-np.bincount(target.values, minlength=len(ids)), kind="stable")[:10]
    _legend(axes[0], {target.classes[i]: colours[i] for i in common}, "most frequent classes")
    _legend(axes[2], {"right": _RIGHT, "wrong": _WRONG}, None)


def _legend(axes: Axes, colours: dict, title: str | None) -> None:
    handles = [
        Line2D([], [], ls="", marker="s", ms=5, color=colour, label=name)
        for name, colour in colours.items()
    ]
    axes.legend(
        handles=handles,
        title=title,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        ncols=5,
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )
