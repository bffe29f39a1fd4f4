"""The evaluation's tables and verdict, in the terminal and as an HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from earth_embed.evaluation.figures import label_curves, task_maps
from earth_embed.evaluation.results import INTERPOLATION, MEAN, Results, Row, column_names
from earth_embed.evaluation.scores import Interval, mean_interval, paired_difference
from earth_embed.evaluation.settings import CONTINENTS, RANDOM
from earth_embed.files import write_text
from earth_embed.reports import data_uri, render
from earth_embed.tasks.labels import Labels


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
    page = render(
        "evaluation/report.html",
        results=results,
        versions=results.versions,
        own_tasks=own_tasks(results),
        columns=column_names(results),
        sections=[
            {
                "title": title(results, split),
                "verdict": verdict(results, split),
                "summary": results.summary(split),
                "best": results.best(split),
                "gains": results.gains(split),
            }
            for split in results.settings.splits
        ],
        macro_f1=_macro_f1(results),
        diagnosis=diagnosis,
        curves=data_uri(label_curves(results)),
        maps={
            task: data_uri(task_maps(part.lonlat, target, predictions[task]))
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
    """How the run compares with label interpolation, the bar: one sentence for each of its probes.

    A difference counts if the interval of the paired difference excludes 0. A win must also beat a
    constant guess by that measure: where nothing can be predicted, label interpolation overfits
    more than a regularised probe does, which is no merit of the embedding.
    """
    every_gain = results.gains(split)
    sentences = []
    for probe in results.settings.probes:
        mine, gains = Row(results.name, probe), every_gain[Row(INTERPOLATION, probe)]
        if all(gain.half_width is None for gain in gains.values()):
            return [f"one {'cross-validation' if results.settings.folds else 'split'}: no verdict"]
        wins, losses, ties = [], [], []
        for task, gain in gains.items():
            name = "the mean over tasks" if task == MEAN else task
            if gain.sign < 0:
                losses.append(f"{name} ({gain.signed})")
            elif gain.sign > 0 and _beats_a_guess(results, mine, split, task):
                wins.append(f"{name} ({gain.signed})")
            else:
                ties.append(name)
        parts = {
            "beats label interpolation on": wins,
            "loses to label interpolation on": losses,
            "no difference seen on": ties,
        }
        found = (f"{words} {', '.join(tasks)}" for words, tasks in parts.items() if tasks)
        sentences.append(f"{probe}: {'; '.join(found)}.")
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


def _beats_a_guess(results: Results, row: Row, split: str, task: str) -> bool:
    guess = results.scores(row, split, task, metric="guess")
    return paired_difference(results.scores(row, split, task), guess).sign > 0


def _table(results: Results, split: str) -> Table:
    # With four tasks the table is 79 columns wide and fits the narrowest terminal; with more there
    # is no room for intervals.
    wide = len(results.kinds) > 4
    table = Table(
        title=title(results, split),
        caption="best of each column in bold" + ("; intervals: see the report" if wide else ""),
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("features")
    for heading in column_names(results).values():
        table.add_column(heading.replace("_", "\n").replace(", ", "\n"), justify="right")
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
        table.add_row(row.feature, *values, style="cyan" if row.feature == results.name else "")
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
