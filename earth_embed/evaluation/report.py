"""The evaluation as one HTML file that needs nothing else: no network, no script, images inside."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from earth_embed.evaluation.figures import label_curves, task_maps, to_png
from earth_embed.evaluation.results import MEAN, Results, Row, column_names
from earth_embed.evaluation.scores import Interval, mean_interval
from earth_embed.evaluation.settings import CONTINENTS, RANDOM
from earth_embed.files import write_text
from earth_embed.tasks.labels import Labels


def print_summary(results: Results, console: Console | None = None) -> None:
    """Prints a table for each kind of split, who wins, and where the user's own tasks lie.

    Args:
        results: What to print.
        console: Where to; None for standard output.
    """
    console = console or Console()
    for split in results.settings.splits:
        console.print(_table(results, split))
        console.print(verdict(results, split) + "\n", highlight=False)
    for line in own_tasks(results):
        console.print(line, highlight=False, markup=False)


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


def verdict(results: Results, split: str) -> str:
    """One sentence: where label interpolation, the bar, beats the run."""
    wins = results.interpolation_wins(split)
    if not wins:
        return f"{results.name} beats label interpolation on every task and on the mean."
    names = ["the mean over tasks" if task == MEAN else task for task in wins]
    return f"Label interpolation beats {results.name} on {', '.join(names)}."


def own_tasks(results: Results) -> list[str]:
    """For each task of the user's own: where its values come from, how many, how many left out."""
    lines = []
    for task, places in results.places.items():
        if places.source:
            dropped = ", ".join(f"{count} {reason}" for reason, count in places.dropped.items())
            left_out = f"; left out: {dropped}" if dropped else ""
            lines.append(f"{task}: {places.scored} places{left_out} ({places.source})")
    return lines


def _table(results: Results, split: str) -> Table:
    # 79 columns wide at four tasks: it fits the narrowest terminal. More leave intervals no room.
    wide = len(results.kinds) > 4
    table = Table(
        title=title(results, split),
        caption="bold: best of its column" + ("; intervals: see the report" if wide else ""),
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("features")
    for heading in column_names(results).values():
        table.add_column(heading.replace("_", "\n").replace(", ", "\n"), justify="right")
    best = results.best(split)
    probe = "idw"  # label interpolation leads and needs no heading
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


def write_report(
    path: Path,
    results: Results,
    labels: Sequence[Labels],
    predictions: Mapping[str, np.ndarray],
    diagnosis: str | None = None,
) -> None:
    """Writes the report, whole or not at all.

    Args:
        path: The HTML file.
        results: Scores.
        labels: The places and targets that were scored; N places have a task.
        predictions: Task → (N,) predictions of the run, made without labels nearby.
        diagnosis: HTML section on what limits the run, to show as it is.

    Raises:
        EarthEmbedError: the file cannot be written.
    """
    package = importlib.resources.files("earth_embed")
    source, style = package / "evaluation" / "report.html", package / "report.css"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    columns = column_names(results)
    html = template.render(
        style=style.read_text(encoding="utf-8"),
        results=results,
        own_tasks=own_tasks(results),
        columns=columns,
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
        curves=to_png(label_curves(results)),
        maps={
            task: to_png(task_maps(part.lonlat, target, predictions[task]))
            for part in labels
            for task, target in part.targets.items()
        },
    )
    write_text(path, html)


def _macro_f1(results: Results) -> dict[Row, dict[tuple[str, str], Interval]]:
    """Macro-F1 of the classification tasks on each kind of split; empty without such tasks."""
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
