"""Tables of a finished sweep: scores, paired differences, stability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sweep import Sweep

from earth_embed.evaluation.results import MEAN, Row
from earth_embed.evaluation.scores import Interval, paired_difference


def write_tables(sweep: Sweep, comparisons: Sequence[tuple[str, str]]) -> str:
    """All tables, in Markdown.

    Args:
        sweep: The sweep.
        comparisons: Pairs of runs, the first to be compared with the second.
    """
    splits = " / ".join(sweep.splits)
    count = f"{len(sweep.seeds)} training seeds × {sweep.settings.seeds} splits"
    lines = [f"{sweep.probe} probe, {splits}, mean over {count}; R² or accuracy."]
    lines += ["", "**All labels**", "", *all_labels(sweep)]
    for task in sweep.columns:
        lines += ["", f"**{_words(task)}, by training labels**", "", *by_labels(sweep, task)]
    lines += ["", f"**Paired differences at {sweep.splits[-1]}**", "", *gains(sweep, comparisons)]
    lines += [
        "",
        "Each ± is the 95 % interval over the splits, of the mean over training seeds; splits of "
        "the same places overlap, so it is somewhat too narrow. In brackets: in how many pairs of "
        "training seed and split the first is ahead.",
    ]
    return "\n".join([*lines, "", "**Stability**", "", *stability(sweep), ""])


def all_labels(sweep: Sweep) -> list[str]:
    """Every task with all labels."""
    lines = _header("features", [_words(column) for column in sweep.columns])
    for row in sweep.rows:
        cells = [_cell(sweep, row, column) for column in sweep.columns]
        lines.append(f"| {row.feature} | {' | '.join(cells)} |")
    return lines


def by_labels(sweep: Sweep, task: str) -> list[str]:
    """One task by label count."""
    counts = sweep.label_counts(task)
    lines = _header("features", ["all" if count is None else f"{count:,}" for count in counts])
    for row in sweep.rows:
        cells = [_cell(sweep, row, task, count) for count in counts]
        lines.append(f"| {row.feature} | {' | '.join(cells)} |")
    return lines


def gains(sweep: Sweep, comparisons: Sequence[tuple[str, str]]) -> list[str]:
    """Paired differences at held-out blocks: mean, interval over splits, how often above 0.

    The last column leaves out the first task, elevation: one task may make all of a gain.
    """
    split, first = sweep.splits[-1], sweep.columns[0]
    headings = [*map(_words, sweep.columns), f"mean without {_words(first)}"]
    lines = _header("first − second", headings)
    for names in comparisons:
        one, other = (Row(name, sweep.probe) for name in names)
        pairs = [[sweep.scores(row, split, c) for row in (one, other)] for c in sweep.columns]
        pairs.append([sweep.mean_without(row, split, first) for row in (one, other)])
        cells = [
            f"{_signed(paired_difference(a.mean(axis=0), b.mean(axis=0)))} "
            f"({int((a > b).sum())}/{a.size})"
            for a, b in pairs
        ]
        lines.append(f"| {names[0]} − {names[1]} | {' | '.join(cells)} |")
    return lines


def stability(sweep: Sweep) -> list[str]:
    """How steadily each run trained, a row for each of its modalities: means over training seeds.

    The peak of a curve is its largest rise above its own earlier minimum. Validation losses are
    asymmetric NT-Xent within the modality for all; training losses are of another kind or batch in
    each method, and are drawn alone.
    """
    headings = ("validation loss, last", "least", "peak", "score's deviation between seeds")
    lines = _header("run, modality", headings)
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


def _cell(sweep: Sweep, row: Row, column: str, labels: int | None = None) -> str:
    """A row's mean score on each kind of split."""
    return " / ".join(f"{sweep.scores(row, s, column, labels).mean():.3f}" for s in sweep.splits)


def _header(first: str, columns: Sequence[str]) -> list[str]:
    return [f"| {first} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]


def _words(name: str) -> str:
    return "mean over tasks" if name == MEAN else name.replace("_", " ")


def _signed(gain: Interval) -> str:
    width = "" if gain.half_width is None else f" ± {gain.half_width:.3f}"
    return f"{gain.mean:+.3f}{width}"
