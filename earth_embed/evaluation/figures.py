"""The report's figures: score against number of labels, and maps of predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, hsv_to_rgb, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from earth_embed.evaluation.results import (
    HARMONICS,
    INTERPOLATION,
    UNTRAINED,
    Results,
)
from earth_embed.evaluation.scores import mean_interval
from earth_embed.reports import chart, data_uri
from earth_embed.tasks.labels import Target

# Each colour is legible on light and on dark pages.
_BLUE, _ORANGE, _GREEN, _GREY = "#3b82c4", "#d9730d", "#2e9e5b", "#8c959f"
_LAND, _OTHER, _RIGHT, _WRONG = "#8c959f40", "#8c959f", "#9fb39a", "#d1495b"
_DASHES = {"idw": "dashed", "ridge": "solid", "mlp": "dotted"}

_NAMED = 15
"""Number of classes that get a colour; the eye tells no more apart."""


def label_curves(results: Results, split: str, task: str) -> dict[str, str]:
    """Score against number of training labels, as `reports.chart` returns it.

    The run and its bars have colours, all others are grey. The axis shows where the coloured lines
    run, but hardly anything below 0: bands and failed fits would flatten the rest.
    """
    full = results.mean_train(split, task)
    lines = []
    for row in results.rows:
        counts = results.label_counts(row, split, task)
        scores = [results.scores(row, split, task, labels=count) for count in counts]
        x = [full if count is None else count for count in counts]
        lines.append((row, x, [mean_interval(values) for values in scores]))

    def draw(axes: Axes, ink: str) -> None:
        shown, bands = [], []
        for row, x, intervals in lines:
            colour, dashes = _colour(results, row.feature) or ink, _DASHES[row.probe]
            means = np.array([interval.mean for interval in intervals])
            if colour == _GREY:
                axes.plot(x, means, c=colour, ls=dashes, lw=0.8, alpha=0.7, zorder=1)
                continue
            shown.append(means)
            is_run = row.feature == results.name
            axes.plot(x, means, c=colour, ls=dashes, lw=2.4 if is_run else 1.4, marker="o", ms=3.5)
            if is_run or row.feature == INTERPOLATION:
                widths = np.array([interval.half_width or 0.0 for interval in intervals])
                bands.append((x, means, widths, colour))
        low, high = np.min(shown), np.max(shown)
        low = max(low, min(high, 0.0) - 0.1)
        margin = max(0.08 * (high - low), 0.01)
        for x, means, widths, colour in bands:
            if widths.max() < high - low:  # wider ones would only tint the panel
                axes.fill_between(x, means - widths, means + widths, color=colour, alpha=0.12, lw=0)
        axes.set(xscale="log", ylim=(low - margin, high + margin), xlabel="training labels")
        ticks = _apart(sorted({count for _, x, _ in lines for count in x}))
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", which="minor", length=0)

    return chart(draw)


def curve_key(results: Results) -> list[tuple[str, str, str]]:
    """The legend of the label curves: (colour, CSS border style, text)."""
    features = dict.fromkeys([results.name, *(row.feature for row in results.rows)])
    colours = {feature: _colour(results, feature) for feature in features}
    key = [
        (colour or "currentcolor", "solid" if colour else _DASHES["idw"], feature)
        for feature, colour in colours.items()
        if colour != _GREY
    ]
    if others := [feature for feature, colour in colours.items() if colour == _GREY]:
        key.append((_GREY, "solid", ", ".join(others)))
    if len(results.settings.probes) > 1:
        key += [("currentcolor", _DASHES[p], f"{p} probe") for p in results.settings.probes]
    return key


class Map(NamedTuple):
    """One map and its legend."""

    title: str
    image: str
    """A data URI."""
    ramp: tuple[str, str, str] | None = None
    """CSS colours of a colour bar, and the numbers at its ends."""
    key: Sequence[tuple[str, str]] = ()
    """Pairs of CSS colour and text."""


class Maps(NamedTuple):
    """The maps of one task."""

    panels: tuple[Map, ...]
    unit: str
    key: Sequence[tuple[str, str]] = ()
    """Pairs of CSS colour and class."""


def task_maps(lonlat: np.ndarray, target: Target, prediction: np.ndarray) -> Maps:
    """Maps of a target, its prediction without labels nearby, and the error.

    Args:
        lonlat: (N, 2), degrees.
        target: The target at the N places.
        prediction: (N,) values, or class ids.
    """
    predicted = "prediction, own block held out"
    if target.kind == "regression":
        low, high = np.percentile(target.values, [1, 99])
        error = prediction - target.values
        reach = float(np.percentile(np.abs(error), 98)) or 1.0
        panels = (
            ("target", target.values, "viridis", low, high),
            (predicted, prediction, "viridis", low, high),
            ("error", error, "RdBu_r", -reach, reach),
        )
        return Maps(tuple(_value_map(lonlat, *panel) for panel in panels), target.unit)
    colours, key = _class_colours(target)
    wrong = prediction != target.values
    share = 100 * wrong.mean()
    outcomes = [(_WRONG, f"wrong ({share:.0f} %)"), (_RIGHT, f"right ({100 - share:.0f} %)")]
    return Maps(
        (
            Map("target", _scatter(lonlat, colours[target.values])),
            Map(predicted, _scatter(lonlat, colours[prediction])),
            Map("error", _scatter(lonlat, np.where(wrong, _WRONG, _RIGHT)), key=outcomes),
        ),
        target.unit,
        key,
    )


def _colour(results: Results, feature: str) -> str | None:
    """The colour of a feature's lines; None for the ink of the page."""
    if feature == results.name:
        return _BLUE
    if feature == INTERPOLATION:
        return None
    if feature == UNTRAINED:
        return _GREEN
    return _ORANGE if feature.startswith(HARMONICS) else _GREY


def _apart(ticks: list[float]) -> list[float]:
    """Leaves out ticks whose labels would touch on a logarithmic axis; the last one stays."""
    kept = ticks[-1:]
    for tick in reversed(ticks[:-1]):
        if kept[0] > tick * (ticks[-1] / ticks[0]) ** 0.16:
            kept.insert(0, tick)
    return kept


def _value_map(
    lonlat: np.ndarray,
    title: str,
    values: np.ndarray,
    name: str,
    low: float,
    high: float,
) -> Map:
    scale = colormaps[name]
    stops = ", ".join(to_hex(scale(share)) for share in np.linspace(0, 1, 9))
    most = max(abs(low), abs(high))
    usual = 1e-3 <= most < 1e9
    form = f",.{max(0, 2 - math.floor(math.log10(most)))}f" if usual else ".3g"
    image = _scatter(lonlat, scale(Normalize(low, high)(values)))
    return Map(title, image, (stops, f"{low:{form}}", f"{high:{form}}"))


def _class_colours(target: Target) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """A colour for each class, and the legend: the most frequent classes, the rest as "other"."""
    counts = np.bincount(target.values, minlength=len(target.classes))
    common = np.argsort(-counts, kind="stable")[: min(_NAMED, np.count_nonzero(counts))]
    # Golden-ratio steps in hue: any number of first colours are far from each other.
    rank = np.arange(len(common))
    hue, value = rank * 0.61803398875 % 1, 0.65 + 0.3 * (rank % 3) / 2
    colours = np.full(len(target.classes), _OTHER)
    colours[common] = [*map(to_hex, hsv_to_rgb(np.stack([hue, np.full(len(hue), 0.65), value], 1)))]
    key = [(str(colours[i]), target.classes[i]) for i in common]
    if others := np.count_nonzero(counts) - len(common):
        key.append((_OTHER, f"other ({others})"))
    return colours, key


def _scatter(lonlat: np.ndarray, colours: np.ndarray) -> str:
    """The places in their colours, each on a grey patch, for all of them lie on land."""
    west, south = lonlat.min(axis=0)
    east, north = lonlat.max(axis=0)
    margin = 0.02 * max(east - west, north - south)
    width, height = east - west + 2 * margin, north - south + 2 * margin
    stretch = np.cos(np.radians((south + north) / 2))  # a degree of longitude in those of latitude
    figure = Figure(figsize=(5, 5 * float(np.clip(height / (width * stretch), 0.2, 1))))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(west - margin, east + margin))
    axes.set(ylim=(south - margin, north + margin), aspect=1 / stretch)
    axes.axis("off")
    size = np.clip(3e4 / len(lonlat), 3, 16)
    lon, lat = lonlat.T
    axes.scatter(lon, lat, s=3 * size, c=_LAND, marker="s", lw=0)
    axes.scatter(lon, lat, s=size, c=colours, marker="s", lw=0)
    return data_uri(figure)
