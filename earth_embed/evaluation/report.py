"""The evaluation's tables and verdict, in the terminal and as an HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from earth_embed.evaluation.figures import curve_key, label_curves, task_maps
from earth_embed.evaluation.results import MEAN, Results, Row
from earth_embed.evaluation.scores import (
    AHEAD,
    BEHIND,
    HEADLINE,
    NO_DIFFERENCE,
    Interval,
    mean_interval,
)
from earth_embed.evaluation.settings import CONTINENTS, RANDOM
from earth_embed.files import write_text
from earth_embed.reports import render
from earth_embed.tasks.labels import Labels

METRIC_NAMES = {"r2": "R²", "accuracy": "accuracy"}


def print_summary(results: Results, console: Console | None = None) -> None:
    """Prints a table and a verdict for each kind of split, then where the user's own tasks lie.

    Args:
        results: What to print.
        console: Where to print; None for standard output.
    """
    console = console or Console()
    for split in results.settings.splits:
        console.print(_table(results, split))
        for sentence in verdict(results, split):
            console.print(sentence, highlight=False, markup=False)
        console.print()
    for line in own_tasks(results):
        console.print(line, highlight=False, markup=False)


def write_report(
    path: Path,
    results: Results,
    labels: Sequence[Labels],
    predictions: Mapping[str, np.ndarray],
    diagnosis: Markup | None = None,
) -> None:
    """Writes the report as one HTML file, whole or not at all.

    Args:
        path: The file.
        results: Scores.
        labels: Places and targets that were scored.
        predictions: Task → predictions of the run at the task's places, made without labels nearby.
        diagnosis: Section on what limits the run.

    Raises:
        EarthEmbedError: the file cannot be written.
    """
    columns = _column_names(results)
    page = render(
        "evaluation/report.html",
        results=results,
        versions=results.versions,
        own_tasks=own_tasks(results),
        columns=columns,
        key=curve_key(results),
        sections=[
            {
                "title": title(results, split),
                "verdict": verdict(results, split),
                "summary": results.summary(split),
                "best": results.best(split),
                "gains": results.gains(split),
                "curves": {
                    heading: label_curves(results, split, task)
                    for task, heading in columns.items()
                    if len(results.label_counts(results.rows[0], split, task)) > 1
                },
            }
            for split in results.settings.splits
        ],
        macro_f1=_macro_f1(results),
        diagnosis=diagnosis,
        maps={
            task: task_maps(part.lonlat, target, predictions[task])
            for part in labels
            for task, target in part.targets.items()
        },
    )
    write_text(path, page)


def title(results: Results, split: str) -> str:
    """What a table of one kind of split shows."""
    settings = results.settings
    labels = f", all labels ({results.scored['labels']})" if results.scored else ", all labels"
    if split == CONTINENTS:
        return f"each continent held out in turn: mean over continents ± 95 % t interval{labels}"
    held = "random" if split == RANDOM else f"{split} held out"
    times = f"{settings.seeds} splits"
    if settings.folds:
        times = f"{settings.seeds} cross-validations of {settings.folds} folds"
    floor = "" if settings.r2_floor is None else f", R² raised to {settings.r2_floor:g}"
    return f"{held}: mean over {times} ± 95 % t interval{labels}{floor}"


def verdict(results: Results, split: str) -> list[str]:
    """`Results.verdict` in words: one sentence for each of the run's probes."""
    words = {
        AHEAD: f"{AHEAD} of label interpolation on",
        BEHIND: f"{BEHIND} label interpolation on",
        NO_DIFFERENCE: f"{NO_DIFFERENCE} on",
    }
    sentences = []
    for probe, comparisons in results.verdict(split).items():
        if all(found.outcome is None for found in comparisons.values()):
            return [f"one {'cross-validation' if results.settings.folds else 'split'}: no verdict"]
        tasks: dict[str, list[str]] = {outcome: [] for outcome in words}
        for task, found in comparisons.items():
            outcome = found.outcome or NO_DIFFERENCE
            name = "the mean over tasks" if task == MEAN else task
            difference = "" if outcome == NO_DIFFERENCE else f" ({found.difference.signed})"
            tasks[outcome].append(name + difference)
        parts = (
            f"{words[outcome]} {', '.join(names)}" for outcome, names in tasks.items() if names
        )
        sentences.append(f"{probe}: {'; '.join(parts)}.")
    return sentences


def own_tasks(results: Results) -> list[str]:
    """One line per task of the user's own: its source, and how many places were scored or not."""
    lines = []
    for task, places in results.places.items():
        if places.source:
            dropped = ", ".join(f"{count} {reason}" for reason, count in places.dropped.items())
            left_out = f"; left out: {dropped}" if dropped else ""
            lines.append(f"{task}: {places.scored} places{left_out} ({places.source})")
    return lines


def _table(results: Results, split: str) -> Table:
    # With four tasks the table is 79 columns wide and fits the narrowest terminal; with more there
    # is no room for intervals.
    wide = len(results.kinds) > 4
    table = Table(
        title=escape(title(results, split)),
        caption="best of each column in bold" + ("; intervals: see the report" if wide else ""),
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("features")
    for heading in _column_names(results).values():
        heading = heading.replace("_", "\n").replace(", ", "\n")
        table.add_column(escape(heading), justify="right")
    best = results.best(split)
    probe = "idw"  # label interpolation comes first, without a heading
    for row, cells in results.summary(split).items():
        if row.probe != probe:
            probe = row.probe
            table.add_row(f"[dim]{probe} probe[/dim]")
        shown = {task: f"{cell.mean:.3f}" if wide else str(cell) for task, cell in cells.items()}
        values = [
            f"[bold]{text}[/bold]" if best[task] == row else text for task, text in shown.items()
        ]
        table.add_row(
            escape(row.feature), *values, style="cyan" if row.feature == results.name else ""
        )
    return table


def _macro_f1(results: Results) -> dict[Row, dict[tuple[str, str], Interval]]:
    """Row → (task, split) → macro-F1 of the classification tasks; empty without such tasks."""
    tasks = [task for task, kind in results.kinds.items() if kind == "classification"]
    if not tasks:
        return {}
    return {
        row: {
            (task, split): mean_interval(results.scores(row, split, task, metric="macro_f1"))
            for task in tasks
            for split in results.settings.splits
        }
        for row in results.rows
    }


def _column_names(results: Results) -> dict[str, str]:
    """Task → column heading with the score shown, and MEAN."""
    names = {
        task: f"{task}, {METRIC_NAMES[HEADLINE[kind]]}" for task, kind in results.kinds.items()
    }
    return {**names, MEAN: "mean"}
